"""The closer: what one worker alone cannot see.

A label and its answer that two workers commit at the same instant miss each other: the label
waits as an orphan although its request is there. The closer looks at young orphans every second
and sends such a label on to the partition of its request, where it is counted as if it came now.
"""

import logging
import threading

from sqlalchemy import Connection, Engine, delete, select

from streams import outbox
from streams.db import bulk
from streams.db.clock import Clock
from streams.db.engine import reading, writing
from streams.envelopes import pack
from streams.errors import UnavailableError
from streams.ledger import Orphan
from streams.tables import answer, join_row, orphan
from streams.topics import EVENTS

YOUNG_MS = 120_000
EVERY_S = 1.0

_at = orphan.c
_log = logging.getLogger(__name__)


class Closer:
    """Re-probes young orphans until it is stopped."""

    def __init__(self, engine: Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(EVERY_S):
            try:
                self.step()
            except UnavailableError as error:
                _log.warning("closer waits: %s", error)

    def step(self) -> int:
        """Sends on every young orphan whose request has come; returns how many."""
        now_ms = self._clock.wall_ms()
        with reading(self._engine) as connection:
            found = _found(connection, _young(connection, now_ms - YOUNG_MS))
        if not found:
            return 0
        with writing(self._engine) as connection:
            messages = [
                _message(waiting, partition)
                for waiting, partition in found
                if _taken(connection, waiting)
            ]
            outbox.put(connection, messages, now_ms=now_ms)
        return len(messages)


def _young(connection: Connection, since_ms: int) -> list[Orphan]:
    rows = connection.execute(select(orphan).where(_at.seen_ms >= since_ms).limit(5_000))
    return [Orphan(*row) for row in rows]


def _found(connection: Connection, young: list[Orphan]) -> list[tuple[Orphan, int]]:
    """Orphans whose request is in the ledger, by id or by join key, with its partition."""
    keys = {waiting.key for waiting in young}
    homes = _homes(connection, keys)
    joined: dict[tuple[int, bytes, int], bytes] = {}
    joins = {(waiting.pid16, waiting.model_no) for waiting in young}
    if joins:
        rows = connection.execute(
            select(join_row).where(join_row.c.join16.in_({join16 for join16, _ in joins}))
        )
        for row in rows:
            group = (row.join_day, row.join16, row.model_no)
            joined[group] = bulk.request_key(row.day, row.pid16, row.model_no)
    homes |= _homes(connection, set(joined.values()))
    found = []
    for waiting in young:
        member = joined.get((waiting.day, waiting.pid16, waiting.model_no))
        home = homes.get(waiting.key, homes.get(member) if member else None)
        if home is not None:
            found.append((waiting, home))
    return found


def _homes(connection: Connection, keys: set[bytes]) -> dict[bytes, int]:
    columns = ("day", "pid16", "model_no", "partition")
    rows = bulk.by_request(connection, answer, keys, columns=columns)
    return {bulk.request_key(*row[:3]): row[3] for row in rows}


def _taken(connection: Connection, waiting: Orphan) -> bool:
    """The orphan is ours; False when intake adopted it meanwhile."""
    deleted = connection.execute(
        delete(orphan).where(
            _at.day == waiting.day, _at.pid16 == waiting.pid16,
            _at.model_no == waiting.model_no, _at.source_no == waiting.source_no,
            _at.label_id8 == waiting.label_id8,
        )
    )  # fmt: skip
    return deleted.rowcount == 1


def _message(waiting: Orphan, partition: int) -> outbox.Message:
    place = f"{waiting.partition}/{waiting.log_offset}/{waiting.idx}"
    return outbox.Message(
        message_id=f"found/{waiting.seen_ms}/{place}",
        topic=EVENTS.name,
        key=str(partition),
        partition=partition,
        body=pack([waiting.raw], appended_ms=waiting.appended_ms, hops=waiting.hops + 1),
    )
