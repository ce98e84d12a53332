"""Roles of an installation on a cluster, each process started again whenever it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from penstock.settings import Settings, read_settings

ROLES = {"web": "web", "control": "control", "w1": "worker", "w2": "worker", "w3": "worker"}


class Fleet:
    """Web, control and three workers, or other `roles`, as a service manager would run them.

    Args:
        environ: the installation's settings, for us and for its processes.
        log: where its processes' words go.
        roles: role by name.
        theirs: settings that its processes alone have.
    """

    kinds: Sequence[str] = ("web", "control", "w1", "w2", "w3", "w1", "w2", "w3")

    def __init__(
        self,
        environ: Mapping[str, str],
        log: Path,
        *,
        roles: Mapping[str, str] = ROLES,
        theirs: Mapping[str, str] | None = None,
    ) -> None:
        own = {name: value for name, value in environ.items() if name.startswith("PENSTOCK_")}
        self.settings: Settings = read_settings(own)
        self._env = os.environ | dict(environ) | dict(theirs or {})
        self._log = log
        self._roles = roles
        self._playing: dict[str, subprocess.Popen[bytes]] = {}
        self.starts = 0

    @property
    def said(self) -> str:
        """What every process so far has printed."""
        return self._log.read_text()

    def keep_up(self) -> None:
        """Every role runs, or has just been started."""
        for name, role in self._roles.items():
            process = self._playing.get(name)
            if process is None or process.poll() is not None:
                with self._log.open("ab") as log:
                    self._playing[name] = subprocess.Popen(
                        [sys.executable, "-m", "penstock.cli.main", role],
                        env=self._env | {"PENSTOCK_WORKER": name}, stdout=log, stderr=log,
                    )  # fmt: skip
                self.starts += 1

    def pids(self) -> dict[str, int]:
        """What there is to kill now, by kind."""
        return {name: p.pid for name, p in self._playing.items() if p.poll() is None}

    def workers(self) -> list[int]:
        """The processes that count, now."""
        return [pid for name, pid in self.pids().items() if self._roles[name] == "worker"]

    def end(self, name: str, number: signal.Signals) -> int:
        """One of them has ended by this signal; its exit code."""
        process = self._playing[name]
        process.send_signal(number)
        return process.wait(30)

    def stop(self) -> int:
        """Ends all of them gracefully; the worst of their exit codes."""
        for process in self._playing.values():
            process.terminate()
        return max(abs(process.wait(30)) for process in self._playing.values())

    def kill(self) -> None:
        for process in self._playing.values():
            process.kill()
            process.wait()
