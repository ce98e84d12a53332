"""How the story is shown: a board redrawn in place on a terminal, a line per change when piped."""

import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from evidence.shares import share_interval
from penstock.demo.figures import Figures
from penstock.demo.summary import LIVE, SHADOW
from penstock.escaping import escaped

LINE_S = 5.0
"""When piped, the least time between two lines of figures."""
ALPHA = 0.05
"""The chance that the interval of the disagreement ever misses it, over all looks together."""
HEADS = ("answers", "errors", "labelled", "right", "wrong", "of 1,000")


class View(msgspec.Struct, frozen=True):
    """What there is to show at one moment."""

    figures: Figures
    sent: int  # by the service, as it says itself
    domain_ms: int
    speed: float
    left_s: float
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
    clock = datetime.fromtimestamp(view.domain_ms / 1000, UTC)
    waiting = "server is away" if figures.waiting is None else f"{figures.waiting:,} records wait"
    yield ""
    left = f"about {view.left_s:.0f} s to go" if view.left_s else "the story is told"
    yield f"sorting floor {clock:%Y-%m-%d %H:%M:%S} ({view.speed:g} x)   {left}   {view.url}"
    yield (
        f"sent {view.sent:,}   counted {figures.counted:,}   sent again {figures.repeats:,}"
        f"   {waiting}"
    )
    yield ""
    yield f"{'':<12}" + "".join(f"{head:>10}" for head in HEADS)
    for version, role in (LIVE, SHADOW):
        now = figures.of(version, role).now
        known = now["right"] + now["wrong"]
        wrong = f"{1000 * now['wrong'] / known:.0f}" if known else "-"
        yield (
            f"{version + ' ' + role:<12}{now['answered']:>10,}{now['errors']:>10,}"
            f"{now['labelled']:>10,}{now['right']:>10,}{now['wrong']:>10,}{wrong:>10}"
        )
    yield f"{'pairs':<12}{disagreement(figures)}"
    asked = figures.assigned
    yield (
        f"{'assigned':<12}{asked['assigned']:>10,}   answered {asked['answered']:,}"
        f"   dropped {asked['dropped']:,}   as the client counts them"
    )
    yield f"{'frozen':<12}{frozen(figures)}"
    yield f"{'rejected':<12}{sum(figures.rejected.values()):>10,}   last: {figures.last_reject}"
    codes = sorted(figures.rejected.items(), key=lambda item: (-item[1], item[0]))
    for part in textwrap.wrap(", ".join(f"{code} {count}" for code, count in codes), 60):
        yield f"{'':<25}{part}"


def line(view: View) -> str:
    """The figures in one line."""
    figures = view.figures
    live, shadow = figures.of(*LIVE).now, figures.of(*SHADOW).now
    return (
        f"sent {view.sent:,} | counted {figures.counted:,} | v1 {live['answered']:,}"
        f" v2 {shadow['answered']:,} | pairs {shadow['paired']:,}, {shadow['disagreed']:,} differ"
        f" | labelled {live['labelled']:,}, wrong v1 {live['wrong']:,} v2 {shadow['wrong']:,}"
        f" | frozen {figures.of(*LIVE).frozen['answered']:,}"
        f" | rejected {sum(figures.rejected.values()):,}"
    )


def disagreement(figures: Figures) -> str:
    """How often the two versions disagree, and what that says of all requests to come.

    The interval holds under a look at every event, so this screen may be watched all day.
    """
    pairs = figures.of(*SHADOW).now
    disagreed, n = pairs["disagreed"], pairs["paired"]
    share = share_interval(disagreed, n, alpha=ALPHA)
    return (
        f"{n:>10,}   in disagreement {disagreed:,}: {share.lower:.1%} to {share.upper:.1%}"
        f" ({1 - ALPHA:.0%}, however often you look)"
    )


def frozen(figures: Figures) -> str:
    """What the frozen panes of v1 hold: missing truths by subtraction."""
    cells, late = figures.of(*LIVE).frozen, figures.of(*LIVE).late
    missing = cells["answered"] - cells["labelled"] - cells["declared_missing"]
    return (
        f"{cells['answered']:>10,} of v1 = {cells['labelled']:,} labelled"
        f" + {cells['declared_missing']:,} declared missing + {missing:,} missing;"
        f" {late['none_to_labelled']:,} late"
    )
