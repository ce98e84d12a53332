"""The demo's processes: Penstock, the training, the service. They end when it does."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from penstock import installation, lock, status
from penstock.demo import declaring
from penstock.demo.folder import Folder, Story
from penstock.installation import Installation
from penstock.settings import Settings
from penstock.supervisor import Supervisor
from streams.errors import ConfigError, Error, UnavailableError

START_S = {"up": 60.0, "cluster": 180.0}
GRACE_S = {"up": 2.0, "service": 2.0, "cluster": 15.0}
FREE_S = 6.0  # what a demo that was killed leaves behind ends within this
POLL_S = 0.1
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}  # models are as small; more only wait, and sum otherwise
DIED = re.compile(r"\S+ (?:was ended by|ended with exit code) .*")


class StoppedError(Error):
    """Someone pressed Ctrl-C, or sent SIGTERM."""


class Patience:
    """Waiting that ends when someone stops the demo."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def pause(self, seconds: float) -> None:
        """The time has passed; raises StoppedError when told to stop."""
        if self._stop.wait(seconds):
            raise StoppedError("stopped")

    def until(self, is_so: Callable[[], bool], within_s: float, fault: Callable[[], Error]) -> None:
        """It is so; raises the fault when that takes too long."""
        deadline_s = time.monotonic() + within_s
        while not is_so():
            if time.monotonic() > deadline_s:
                raise fault()
            self.pause(POLL_S)


@contextmanager
def patience() -> Iterator[Patience]:
    """Ctrl-C, SIGTERM and a closed terminal end its waiting."""
    patient = Patience()
    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, lambda *_: patient.stop())) for number in caught]
    try:
        yield patient
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class Notes:
    """What supervisors say: ours at once, that of `penstock up` from the file it writes to."""

    def __init__(self, folder: Folder) -> None:
        self._log = folder.up_log
        self._log.touch()
        self._log_at = self._log.stat().st_size
        self._ours: deque[str] = deque()

    def add(self, note: str) -> None:
        """Safe from any thread."""
        self._ours.append(note)

    def new(self) -> Iterator[str]:
        """Since the last call: children that died and are started again."""
        while self._ours:
            yield self._ours.popleft()
        with self._log.open("rb") as stream:
            stream.seek(self._log_at)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self._log_at += len(whole) + len(newline)
        for line in whole.decode(errors="replace").splitlines():
            if died := DIED.search(line):
                yield f"Penstock: {died[0]}"


@contextmanager
def penstock(
    folder: Folder, story: Story, notes: Notes, patient: Patience, say: Callable[[str], None]
) -> Iterator[Installation]:
    """Penstock is up, and knows the model and its versions, which are trained meanwhile."""
    role = "cluster" if story.cluster else "up"
    with _kept_running(role, folder, notes):
        _train(folder, story, patient, say)
        patient.until(
            lambda: _is_up(folder, story), START_S[role], lambda: _not_up(folder, START_S[role])
        )
        with installation.opened(folder.settings(story)) as here:
            declaring.declare(here, folder, story)
            yield here


@contextmanager
def service(folder: Folder, notes: Notes) -> Iterator[None]:
    """The service works until the block ends."""
    with _kept_running("service", folder, notes):
        yield


def free(folder: Folder, patient: Patience) -> None:
    """No other demo uses the folder, also not what is left of one that was killed just now."""
    patient.until(
        lambda: _holder(folder) is None,
        FREE_S,
        lambda: UnavailableError(
            f"{folder.root} is in use by {_holder(folder)}",
            fix="stop the other demo, or name another folder with --data",
        ),
    )


def require_cluster() -> None:
    """Raises ConfigError where there is nothing to start a broker and a database with."""
    try:
        is_there = find_spec("deploy.cluster_local") is not None
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        raise ConfigError(
            "--cluster needs the project's folder",
            why="an installed package has nothing that starts Kafka and PostgreSQL",
            fix="make demo ARGS=--cluster there, or leave --cluster out",
        )


def domain_ms(settings: Settings) -> int:
    """The sorting floor's time; its clock is set anew whenever Penstock starts."""
    return installation.read_clock(settings).domain_ms()


@contextmanager
def _kept_running(role: str, folder: Folder, notes: Notes) -> Iterator[None]:
    """The role's process runs, and is started again when it dies, until the block ends."""
    command = [sys.executable, "-m", f"penstock.demo.{role}", str(folder.root)]
    supervisor = Supervisor((role,), lambda _: command, say=notes.add, grace_s=GRACE_S[role])
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,), name=role)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _train(folder: Folder, story: Story, patient: Patience, say: Callable[[str], None]) -> None:
    told = (str(folder.models), str(story.seed), story.fault)
    with subprocess.Popen(  # noqa: S603 - our own command
        (sys.executable, "-m", "penstock.demo.models", *told),
        stdout=subprocess.PIPE, text=True, process_group=0, env={**os.environ, **ONE_THREAD},
    ) as training:  # fmt: skip
        try:
            while training.poll() is None:
                patient.pause(POLL_S)
        finally:
            training.kill()
        assert training.stdout is not None
        for line in training.stdout:
            say(line.rstrip())
    if training.returncode:
        raise Error("the models could not be trained", why="what went wrong is said above")


def _holder(folder: Folder) -> str | None:
    return lock.holder(folder.penstock) or lock.holder(folder.cluster)


def _is_up(folder: Folder, story: Story) -> bool:
    try:
        return status.is_up(folder.settings(story))
    except FileNotFoundError:
        return False


def _not_up(folder: Folder, after_s: float) -> Error:
    said = folder.up_log.read_text(errors="replace").strip().splitlines()
    return UnavailableError(
        f"Penstock did not come up within {after_s:g} s", why=" / ".join(said[-3:])
    )
