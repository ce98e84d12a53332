"""Keeps the children of `penstock up` running, and never leaves one behind.

Each child's standard input is the reading end of a pipe whose writing end only the supervisor
holds. When the supervisor ends, also by SIGKILL, the pipe closes and the children end.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

ROLES = ("web", "intake", "control")
"""The children of `penstock up`; `penstock.wiring` says what each does."""

POLL_S = 0.05
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
STEADY_S = 10.0
"""A child that ran this long starts again at once if it dies."""

GRACE_S = 2.0
"""How long the children of `penstock up` may take to end before they are killed."""


class _Child:
    """One role and its process, restarted ever more slowly while it keeps dying."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0
        self.start_at_s = 0.0
        self.wait_s = FIRST_WAIT_S

    def ended(self, now_s: float) -> str | None:
        """How the process ended, once; the next start is put off."""
        if self.process is None or self.process.poll() is None:
            return None
        status = self.process.returncode
        if now_s - self.started_s >= STEADY_S:
            self.wait_s = FIRST_WAIT_S
        self.start_at_s = now_s + self.wait_s
        said = f"{_how(status)}; starting it again in {self.wait_s:g} s"
        self.wait_s = min(2 * self.wait_s, LONGEST_WAIT_S)
        self.process = None
        return said


class Supervisor:
    """Runs `command(role)` once for each role until it is told to stop.

    Args:
        command: the arguments of a role's process.
        say: told, in one line, of each child that ended on its own.
        environ: the environment of a role's process; ours unless given.
        grace_s: how long children may take to end before they are killed.
    """

    def __init__(
        self,
        roles: Sequence[str],
        command: Callable[[str], Sequence[str]],
        *,
        say: Callable[[str], None],
        environ: Callable[[str], Mapping[str, str]] = lambda _role: os.environ,
        grace_s: float = GRACE_S,
    ) -> None:
        self._command = command
        self._say = say
        self._environ = environ
        self._grace_s = grace_s
        self._children = [_Child(role) for role in roles]
        self._lifeline, self._held = os.pipe()

    def run(self, stop: threading.Event, *, tick: Callable[[], None] = lambda: None) -> None:
        """Children run until `stop` is set, and have all ended when this returns."""
        try:
            while not stop.wait(POLL_S):
                self._tend(time.monotonic())
                tick()
        finally:
            self._end()

    def _tend(self, now_s: float) -> None:
        for child in self._children:
            if (said := child.ended(now_s)) is not None:
                self._say(f"{child.role} {said}")
            if child.process is None and now_s >= child.start_at_s:
                child.started_s = now_s
                # Its own process group: Ctrl-C reaches the supervisor alone, which ends all.
                child.process = subprocess.Popen(  # noqa: S603 - our own command
                    list(self._command(child.role)), stdin=self._lifeline, process_group=0,
                    env=self._environ(child.role),
                )  # fmt: skip

    def _end(self) -> None:
        os.close(self._held)
        deadline = time.monotonic() + self._grace_s
        running = [(c.role, c.process) for c in self._children if c.process is not None]
        for role, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(f"{role} did not end within {self._grace_s:g} s and was killed")
                process.kill()
                process.wait()
        os.close(self._lifeline)


def child_command(role: str) -> list[str]:
    """A process of this very Python that plays `role`."""
    return [sys.executable, "-m", "penstock.child", role]


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    return f"was ended by {signal.Signals(-status).name}"
