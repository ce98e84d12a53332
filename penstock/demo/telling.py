"""The demo from its first line to its last: starts everything, shows it, and adds it up."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from penstock import installation, installed, lock, status
from penstock.demo import declaring, models, script, summary
from penstock.demo.figures import Figures, Looker
from penstock.demo.folder import Folder, Story
from penstock.demo.journal import Reader
from penstock.demo.screen import Screen, View, frozen
from penstock.settings import read_settings
from penstock.supervisor import Supervisor
from streams.errors import ConfigError, Error, UnavailableError

SEED = 7
PORT = 8090
START_S = 60.0
COUNTED_S = 30.0  # after the last event was sent, until all are counted
FREE_S = 6.0  # children of a demo that was killed end within this
LOOK_S = 0.5
INTERRUPTED = 130
UP_ROLES = ("web ", "intake ", "control ")


class Length(msgspec.Struct, frozen=True):
    """How much is told, and how fast its days pass."""

    requests: int
    rate_per_s: int
    speed: float


WHOLE = Length(requests=6_000, rate_per_s=100, speed=20.0)
QUICK = Length(requests=1_000, rate_per_s=100, speed=60.0)


def length(*, quick: bool, speed: float | None) -> Length:
    """What was asked for; `speed` overrides that of the length."""
    chosen = QUICK if quick else WHOLE
    return chosen if speed is None else msgspec.structs.replace(chosen, speed=speed)


class StoppedError(Error):
    """Someone pressed Ctrl-C, or sent SIGTERM."""


def tell(
    folder: Folder, screen: Screen, length: Length, *, seed: int | None, port: int | None,
    stays: bool,
) -> int:  # fmt: skip
    """The exit code: 0 when every event was counted once, 1 when not, 130 when interrupted.

    With `stays`, everything goes on running after the end until someone stops it.
    """
    if "demo" not in installed.extras():
        raise ConfigError(
            "scikit-learn and skl2onnx are not installed", fix="pip install 'penstock[demo]'"
        )
    with _stopping() as stop:
        try:
            with ExitStack() as running:
                teller = _Teller(folder, screen, stop)
                teller.start(length, running, seed=seed, port=port)
                agrees = teller.follow()
                if stays:
                    teller.stay()
        except StoppedError:
            screen.say("stopped, and everything with it; the same command goes on from here")
            return INTERRUPTED
    screen.say("everything has ended")
    return 0 if agrees else 1


class _Teller:
    """One run of the demo."""

    def __init__(self, folder: Folder, screen: Screen, stop: threading.Event) -> None:
        self._folder = folder
        self._screen = screen
        self._stop = stop
        self._reader = Reader(folder.journal)
        self._notes: deque[str] = deque()  # what supervisors say, from their threads
        self._log_at = 0

    def start(
        self, length: Length, running: ExitStack, *, seed: int | None, port: int | None
    ) -> None:
        """Penstock and the service run; `running` ends them."""
        folder, say = self._folder, self._screen.say
        folder.make()
        self._wait(lambda: lock.holder(folder.penstock) is None, FREE_S, self._in_use)
        self._story = self._continued(length, seed=seed, port=port)
        folder.keep(self._story)
        if folder.up_log.exists():
            self._log_at = folder.up_log.stat().st_size
        running.enter_context(self._kept_running("up"))
        say(f"Penstock starts at {self._story.url}, data in {folder.penstock}")
        say("two versions of a digit reader are trained and exported to ONNX")
        self._train()
        settings = read_settings(folder.environ(self._story))
        self._wait(lambda: status.is_up(settings), START_S, self._not_up)
        self._here = running.enter_context(installation.opened(settings))
        declaring.declare(self._here, folder)
        self._looker = Looker(self._here)
        running.enter_context(self._kept_running("service"))
        say(
            f"the service answers {self._story.rate_per_s} requests a second up to number"
            f" {self._story.goal:,}; on the sorting floor time runs {self._story.speed:g} times"
            " as fast"
        )

    def follow(self) -> bool:
        """The story was shown to its end; whether both sides agree."""
        deeds = self._deeds()
        while len(self._reader.read().served) < self._story.goal or (
            len(self._reader.book.done) < deeds
        ):
            self._look()
        images = models.Images(self._folder.models)
        said = summary.own(self._reader.book, images, self._story.seed)
        self._screen.say("every event was sent; the last ones are counted")
        deadline_s = time.monotonic() + COUNTED_S
        while not (found := summary.compared(said, self._look())).agrees:
            if time.monotonic() > deadline_s:
                break
        for line in ("", *found.lines(), frozen(self._looker.look()), ""):
            self._screen.say(line)
        return found.agrees

    def stay(self) -> None:
        """It goes on until someone stops it; so do the panes that are not frozen yet."""
        self._screen.say(f"Penstock stays up at {self._story.url}; Ctrl-C ends it. To look around:")
        self._screen.say(f"  export PENSTOCK_DATA_DIR={self._folder.penstock.absolute()}")
        self._screen.say("  penstock events rejected; penstock events tail; penstock model list")
        try:
            while True:
                self._look()
        except StoppedError:
            return

    def _look(self) -> Figures:
        """Shows the figures as they are now, and what supervisors had to say."""
        self._pause()
        for note in (*self._said_by_up(), *_drained(self._notes)):
            self._screen.say(note)
        figures = self._looker.look()
        book = self._reader.read()
        now_ms = installation.read_clock(self._here.settings).domain_ms()
        self._screen.show(
            View(
                figures=figures,
                sent=2 * len(book.served) + len(book.done),
                domain_ms=now_ms,
                speed=self._story.speed,
                left_s=self._left_s(now_ms),
                url=self._story.url,
            )
        )
        return figures

    def _left_s(self, now_ms: int) -> float:
        book, story = self._reader.book, self._story
        if len(book.served) < story.goal:
            return (story.goal - len(book.served)) / story.rate_per_s + story.tail_s
        end_ms = book.served[-1].time_ms + script.LATE_MS[1]
        return max(0.0, (end_ms - now_ms) / 1000 / story.speed)

    def _continued(self, length: Length, *, seed: int | None, port: int | None) -> Story:
        """The story of this folder: a new one, one that was stopped, or more of one that ended."""
        kept = self._folder.kept()
        if kept is None:
            kept = Story(seed=SEED if seed is None else seed, goal=length.requests, port=PORT,
                         rate_per_s=length.rate_per_s, speed=length.speed)  # fmt: skip
        elif seed not in (None, kept.seed):
            raise ConfigError(
                f"{self._folder.root} holds a story with seed {kept.seed}, not {seed}",
                fix="another folder with --data, or no --seed",
            )
        self._story = kept
        goal, book = kept.goal, self._reader.read()
        if len(book.served) >= goal and len(book.done) >= self._deeds():
            goal += length.requests
            self._screen.say(f"{self._folder.root} holds a story that ended; this is more of it")
        elif book.served:
            self._screen.say(f"going on after request {len(book.served):,} of {goal:,}")
        return msgspec.structs.replace(
            kept, goal=goal, rate_per_s=length.rate_per_s, speed=length.speed,
            port=_port(port, kept.port),
        )  # fmt: skip

    def _deeds(self) -> int:
        """How many there are about all requests of the story."""
        seed = self._story.seed
        return sum(len(script.request(seed, n).deeds) for n in range(self._story.goal))

    def _train(self) -> None:
        command = [sys.executable, "-m", "penstock.demo.models", str(self._folder.models)]
        with subprocess.Popen(  # noqa: S603 - our own command
            [*command, str(self._story.seed)], stdout=subprocess.PIPE, text=True, process_group=0
        ) as training:
            try:
                while training.poll() is None:
                    self._pause()
            finally:
                training.kill()
            assert training.stdout is not None
            for line in training.stdout:
                self._screen.say(line.rstrip())
        if training.returncode:
            raise Error("the models could not be trained", why="what went wrong is said above")

    @contextmanager
    def _kept_running(self, role: str) -> Iterator[None]:
        """The role's process runs, and is started again when it dies, until the block ends."""
        command = [sys.executable, "-m", f"penstock.demo.{role}", str(self._folder.root)]
        supervisor = Supervisor((role,), lambda _: command, say=self._notes.append)
        stop = threading.Event()
        thread = threading.Thread(target=supervisor.run, args=(stop,), name=role)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _said_by_up(self) -> Iterator[str]:
        """What Penstock's supervisor wrote since the last look: a child that died, for example."""
        with self._folder.up_log.open("rb") as stream:
            stream.seek(self._log_at)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self._log_at += len(whole) + len(newline)
        for line in whole.decode(errors="replace").splitlines():
            if line.startswith(UP_ROLES):
                yield f"Penstock: {line}"

    def _pause(self) -> None:
        if self._stop.wait(LOOK_S):
            raise StoppedError("stopped")

    def _wait(self, is_so: Callable[[], bool], within_s: float, fault: Callable[[], Error]) -> None:
        """Until it is so; raises the fault when that takes too long."""
        deadline_s = time.monotonic() + within_s
        while not is_so():
            if time.monotonic() > deadline_s:
                raise fault()
            self._pause()

    def _in_use(self) -> Error:
        return UnavailableError(
            f"{self._folder.root} is in use by {lock.holder(self._folder.penstock)}",
            fix="stop the other demo, or name another folder with --data",
        )

    def _not_up(self) -> Error:
        said = self._folder.up_log.read_text(errors="replace").strip().splitlines()
        return UnavailableError(
            f"Penstock did not come up within {START_S:g} s", why=" / ".join(said[-3:])
        )


def _port(asked: int | None, kept: int) -> int:
    """The port that was asked for, else the one of before if it is free, else any."""
    for port in (kept, 0) if asked is None else (asked,):
        try:
            with socket.create_server(("127.0.0.1", port)) as listener:
                free: int = listener.getsockname()[1]
                return free
        except OSError:
            continue
    raise UnavailableError(f"port {asked} is taken", fix="name another with --port, or none")


def _drained(notes: deque[str]) -> Iterator[str]:
    while notes:
        yield notes.popleft()


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set."""
    stop = threading.Event()
    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, lambda *_: stop.set())) for number in caught]
    try:
        yield stop
    finally:
        for number, handler in before:
            signal.signal(number, handler)
