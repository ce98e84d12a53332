"""The newest route tables in memory, who waits for them to change, and who decides by which.

They are read twice a second by a thread of its own, so a slow database makes no request wait,
and what was read last is served while it is away.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine

from penstock.web.hearing import Hearing
from penstock.web.waiting import MOST_WAITING, Waits
from rollout import routes
from rollout.assignment import RouteTable
from streams.db.engine import reading
from streams.errors import Error

LOOK_S = 0.5

_TAG = re.compile(r'"(\d{1,15})\.(\d{1,9})\.(\d{1,15})"')

Key = tuple[str, str]  # model, route

_log = logging.getLogger(__name__)


def etag(table: RouteTable) -> str:
    """Another one for another table, and for the same table when it is renewed."""
    return f'"{table.generation}.{table.version}.{table.expires_at}"'


def tagged(tag: str) -> tuple[int, int, int] | None:
    """(generation, version, expires_at) of the table that had this ETag; None for another's tag."""
    found = _TAG.fullmatch(tag)
    if found is None:
        return None
    generation, version, expires_at = map(int, found.groups())
    return generation, version, expires_at


class Board:
    """Tables as of half a second ago. Methods but `look` are for the loop it was started on."""

    def __init__(self, engine: Engine, *, most_waiting: int = MOST_WAITING) -> None:
        self._engine = engine
        self.hearing = Hearing(engine)
        self._tables: Mapping[Key, RouteTable] | None = None
        self._fault = ""
        self._waits = Waits[Key](most=most_waiting)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="routes", daemon=True)

    def start(self) -> None:
        self._waits.start()
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def waiting(self) -> int:
        """How many wait for a table to change."""
        return self._waits.count

    @property
    def is_known(self) -> bool:
        """Whether the tables were read since this process started."""
        return self._tables is not None

    def table(self, key: Key) -> RouteTable | None:
        """The newest table of a model's route."""
        return (self._tables or {}).get(key)

    def expired(self, now_ms: int) -> int:
        """How many routes are back on their champion because nobody renewed their table."""
        return sum(table.expires_at <= now_ms for table in (self._tables or {}).values())

    async def changed(
        self, key: Key, wait_s: float, gone: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """The table of `key` is another one, or as `Waits.until` says."""
        await self._waits.until(key, wait_s, gone)

    def look(self) -> None:
        """The tables are as they stand now; those that stay the same wake nobody."""
        try:
            with reading(self._engine) as connection:
                tables = {(table.model, table.route): table for table in routes.newest(connection)}
        except Error as error:
            if not self._fault:
                _log.warning("the route tables cannot be read: %s", error.message)
            self._fault = error.message
            return
        self._fault = ""
        before, self._tables = self._tables or {}, tables
        changed = [
            key for key in tables.keys() | before.keys() if tables.get(key) != before.get(key)
        ]
        if changed:
            self._waits.wake(changed)

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_S):
            try:
                self.look()
                with suppress(Error):  # it is kept, and `look` says what is the matter
                    self.hearing.flush(time.time_ns() // 1_000_000)
            except Exception:  # the tables of every route hang on this thread
                _log.exception("looking at the route tables failed; trying again")
