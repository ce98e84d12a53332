"""A store of its own for the past: predictions that are too old for the live one.

The same log, intake and tables in another folder. Its clock is the file's own time, so that old
events are in time among themselves.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock import installation, lock
from penstock.direct import Direct
from penstock.installation import Installation
from penstock.intake import pipeline
from penstock.settings import Settings
from streams.db.clock import Clock
from streams.db.engine import writing
from streams.installation import keep_tick, last_tick
from streams.logs.base import Log


class Scratch:
    """A target that stamps what it gets with the newest event time so far."""

    def __init__(self, log: Log, newest_ms: Callable[[], int]) -> None:
        self._direct = Direct(log)
        self._newest_ms = newest_ms

    def post(self, lines: list[bytes]) -> list[tuple[int, str, str, str]]:
        """As `penstock.sending.Target.post`."""
        rejected = self._direct.take(lines, appended_ms=self._newest_ms())
        return [(r.index, r.code, r.field, r.detail) for r in rejected]

    def hurry(self) -> None:
        """Nothing here waits for long."""


@contextmanager
def opened(settings: Settings) -> Iterator[Installation]:
    """The scratch store, made if it is not there; nobody else writes to it meanwhile."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock.held(settings.data_dir):
        installation.prepare(settings)
        with installation.opened(settings) as here:
            yield here


def count(here: Installation, *, newest_ms: int) -> int:
    """Everything in the store's log is counted; returns how many events were."""
    clock = Clock(here.clock.wall_ms(), newest_ms, speed=0.0)
    worker = pipeline(here, owner=installation.owner("scratch"), clock=clock)
    try:
        worker.drain()
    finally:
        worker.close()
    with writing(here.engine) as connection:
        # `up` goes on from here, so that nothing in it is past its retention.
        keep_tick(connection, max(newest_ms, last_tick(connection) or 0))
    return worker.taken.events
