"""`penstock rollout get -w`: a screen that is drawn again, or a line for each change when piped."""

import shutil
import sys
import time
from collections.abc import Iterator

from penstock import rollouts
from penstock.cli.output import Output
from penstock.cli.rollout_screen import change, screen
from penstock.escaping import escaped
from penstock.rollout_details import Detail
from penstock.rollouts import Store
from rollout.courses import FINAL

LOOK_S = 1.0
_HIDE, _SHOW, _REST = "\x1b[?25l", "\x1b[?25h", "\x1b[J"


def watch(output: Output, here: Store, name: str) -> None:
    """Shows the rollout until it has ended."""
    if output.format == "table" and sys.stdout.isatty():
        _draw(here, name)
    else:
        output.stream(_changes(here, name), change)


def looks(here: Store, name: str) -> Iterator[Detail]:
    """The rollout as it is, again and again; the last is the one that ended."""
    while True:
        seen = rollouts.shown(here, name)
        yield seen
        if seen.stage in FINAL:
            return
        time.sleep(LOOK_S)


def _changes(here: Store, name: str) -> Iterator[Detail]:
    before = ""
    for seen in looks(here, name):
        told = change(seen)
        if told != before:
            yield seen
        before = told


def _draw(here: Store, name: str) -> None:
    """Each screen in the place of the one before; the cursor is back, whatever ends it."""
    drawn = 0
    sys.stdout.write(_HIDE)
    try:
        for seen in looks(here, name):
            width = shutil.get_terminal_size().columns - 1  # a line that wraps could not be redrawn
            lines = screen(seen, now_ms=here.clock.domain_ms())
            lines = [escaped(line)[:width] for line in lines]
            up = f"\x1b[{drawn}A\r" if drawn else ""
            sys.stdout.write(up + _REST + "\n".join(lines) + "\n")
            sys.stdout.flush()
            drawn = len(lines)
    finally:
        sys.stdout.write(_SHOW)
        sys.stdout.flush()
