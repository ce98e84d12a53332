"""How the story is shown: a board redrawn in place on a terminal, a line per change when piped."""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from penstock.demo import wording
from penstock.demo.figures import Figures
from penstock.escaping import escaped
from rollout.store import Standing

LINE_S = 5.0
"""When piped, the least time between two lines of figures."""
HEADS = ("answers", "errors", "labelled", "right", "wrong", "of 1,000")


class View(msgspec.Struct, frozen=True):
    """What there is to show at one moment."""

    figures: Figures
    standings: Sequence[Standing]
    sent: int  # by the service, as it says itself
    domain_ms: int
    speed: float
    url: str


class Screen(Protocol):
    """Where the story is told."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def show(self, view: View) -> None:
        """The figures as they are now."""

    def rest(self) -> None:
        """What is shown stays as it is; what comes stands below it."""


def screen() -> Screen:
    """The one that fits standard output."""
    return Board() if sys.stdout.isatty() else Lines()


class Board:
    """A table that is redrawn where it stands; what is said scrolls past above it."""

    def __init__(self) -> None:
        self._height = 0
        self._last: list[str] = []

    def say(self, text: str) -> None:
        self._erase()
        print(escaped(text))
        self._draw(self._last)

    def show(self, view: View) -> None:
        self._erase()
        self._draw(list(board(view)))

    def rest(self) -> None:
        self._height = 0
        self._last = []

    def _erase(self) -> None:
        if self._height:
            sys.stdout.write(f"\x1b[{self._height}F\x1b[J")
            self._height = 0

    def _draw(self, lines: list[str]) -> None:
        size = shutil.get_terminal_size()
        self._last = lines
        fitting = lines[: size.lines - 1]  # what scrolled away could not be erased
        for line in fitting:
            print(escaped(line)[: size.columns - 1])
        self._height = len(fitting)
        sys.stdout.flush()


class Lines:
    """Lines with the time of day, figures only when they changed."""

    def __init__(self) -> None:
        self._shown = ""
        self._due_s = 0.0

    def say(self, text: str) -> None:
        print(f"{datetime.now(UTC):%H:%M:%S}  {escaped(text)}" if text else "", flush=True)

    def show(self, view: View) -> None:
        text = line(view)
        if text != self._shown and time.monotonic() >= self._due_s:
            self.say(text)
            self._shown = text
            self._due_s = time.monotonic() + LINE_S

    def rest(self) -> None:
        """Lines stay anyway."""


def board(view: View) -> Iterator[str]:
    """The table, line by line."""
    figures = view.figures
    waiting = "server is away" if figures.waiting is None else f"{figures.waiting:,} records wait"
    yield ""
    yield f"sorting floor {wording.clock(view.domain_ms)} ({view.speed:g} x)   {view.url}"
    yield (
        f"sent {view.sent:,}   counted {figures.counted:,}   sent again {figures.repeats:,}"
        f"   {waiting}"
    )
    yield ""
    yield f"{'':<12}" + "".join(f"{head:>10}" for head in HEADS)
    for (version, role), now in sorted(figures.answers.items()):
        known = now["right"] + now["wrong"]
        wrong = f"{1000 * now['wrong'] / known:.0f}" if known else "-"
        yield (
            f"{version + ' ' + role:<12}{now['answered']:>10,}{now['errors']:>10,}"
            f"{now['labelled']:>10,}{now['right']:>10,}{now['wrong']:>10,}{wrong:>10}"
        )
    yield ""
    for standing in view.standings:
        yield wording.where(standing)


def line(view: View) -> str:
    """The figures in one line."""
    figures = view.figures
    live, shadow = figures.of("live"), figures.of("shadow")
    stands = "; ".join(wording.where(standing) for standing in view.standings[-1:])
    return (
        f"{wording.clock(view.domain_ms)} | sent {view.sent:,} | counted {figures.counted:,}"
        f" | live {live['answered']:,} shadow {shadow['answered']:,}"
        f" | labelled {live['labelled']:,}, wrong {live['wrong']:,} | {stands}"
    )
