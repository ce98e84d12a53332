"""The demo's processes: Penstock, the training, the service. They end when it does."""

import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock import installation, lock, status
from penstock.demo import declaring
from penstock.demo.folder import Folder, Story
from penstock.installation import Installation
from penstock.settings import Settings, read_settings
from penstock.supervisor import Supervisor
from streams.errors import Error, UnavailableError

START_S = 60.0
FREE_S = 6.0  # what a demo that was killed leaves behind ends within this
POLL_S = 0.1
UP_ROLES = ("web ", "intake ", "control ")


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
            if line.startswith(UP_ROLES):
                yield f"Penstock: {line}"


@contextmanager
def penstock(
    folder: Folder, story: Story, notes: Notes, patient: Patience, say: Callable[[str], None]
) -> Iterator[Installation]:
    """Penstock is up, and knows the model and its versions, which are trained meanwhile."""
    settings = read_settings(folder.environ(story))
    with _kept_running("up", folder, notes):
        _train(folder, story, patient, say)
        patient.until(lambda: status.is_up(settings), START_S, lambda: _not_up(folder))
        with installation.opened(settings) as here:
            declaring.declare(here, folder)
            yield here


@contextmanager
def service(folder: Folder, notes: Notes) -> Iterator[None]:
    """The service works until the block ends."""
    with _kept_running("service", folder, notes):
        yield


def free(folder: Folder, patient: Patience) -> None:
    """No other demo uses the folder, also not what is left of one that was killed just now."""
    patient.until(
        lambda: lock.holder(folder.penstock) is None,
        FREE_S,
        lambda: UnavailableError(
            f"{folder.root} is in use by {lock.holder(folder.penstock)}",
            fix="stop the other demo, or name another folder with --data",
        ),
    )


def domain_ms(settings: Settings) -> int:
    """The sorting floor's time; its clock is set anew whenever Penstock starts."""
    return installation.read_clock(settings).domain_ms()


@contextmanager
def _kept_running(role: str, folder: Folder, notes: Notes) -> Iterator[None]:
    """The role's process runs, and is started again when it dies, until the block ends."""
    command = [sys.executable, "-m", f"penstock.demo.{role}", str(folder.root)]
    supervisor = Supervisor((role,), lambda _: command, say=notes.add)
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,), name=role)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _train(folder: Folder, story: Story, patient: Patience, say: Callable[[str], None]) -> None:
    command = [sys.executable, "-m", "penstock.demo.models", str(folder.models), str(story.seed)]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, text=True, process_group=0
    ) as training:
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


def _not_up(folder: Folder) -> Error:
    said = folder.up_log.read_text(errors="replace").strip().splitlines()
    return UnavailableError(
        f"Penstock did not come up within {START_S:g} s", why=" / ".join(said[-3:])
    )
