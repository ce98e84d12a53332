"""The ledger's days: made before they are needed, gone when they are past every horizon.

On PostgreSQL a day goes whole, by dropping its partitions; only requests whose id tells no day of
ours go row by row there, as all do on SQLite. Counters stay.
"""

import logging
import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, delete, select

from streams.db import bulk, days
from streams.db.clock import Clock
from streams.db.engine import writing
from streams.errors import UnavailableError
from streams.hashing import EPOCH_2020_DAYS
from streams.ledger import Added, group_key, joins_of, joins_to
from streams.models import DAY_MS
from streams.tables import (
    LEDGER,
    answer,
    answer_blob,
    confirmation,
    join_row,
    label,
    label_blob,
    orphan,
)

RETENTION_MS = 90 * DAY_MS
RETENTION_MARGIN_MS = 7 * DAY_MS
AHEAD = 3
"""How many days the ledger has partitions for before they begin."""

_AGAIN_S = 60.0

_log = logging.getLogger(__name__)


def day_at(ms: int) -> int:
    """The ledger's number of the day that this time lies in."""
    return ms // DAY_MS - EPOCH_2020_DAYS


def kept_ms(longest_horizon_ms: int) -> int:
    """How long the ledger keeps a request when nothing matures later than this."""
    return max(RETENTION_MS, longest_horizon_ms + RETENTION_MARGIN_MS)


def make_days(connection: Connection, *, now_ms: int) -> None:
    """Today and the days to come have their partitions of the tables that every event fills."""
    if connection.dialect.name == "postgresql":
        today = day_at(now_ms)
        for table in (answer, label):
            days.make(connection, table, range(today, today + AHEAD + 1))


class Days:
    """Intake's side: the days of a batch have partitions, unless their dates are past belief.

    Rows of other days go where all such rows go; an id with a forged date makes no table.
    """

    def __init__(self, engine: Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._kept = engine.dialect.name == "postgresql"
        self._known: set[tuple[str, int]] = set()
        self._again_s: dict[tuple[str, int], float] = {}

    def ensure(self, added: Added) -> None:
        """Each of these rows has a partition; one that cannot be made now is tried again later."""
        if not self._kept:
            return
        today = day_at(self._clock.domain_ms())
        first = today - RETENTION_MS // DAY_MS + 1
        for table, filled in _filled(added):
            wanted = {day for day in filled if first <= day <= today + AHEAD}
            missing = {day for day in wanted if (table.name, day) not in self._known}
            if missing:
                self._make(table, missing)

    def _make(self, table: Table, missing: set[int]) -> None:
        now_s = time.monotonic()
        due = {day for day in missing if self._again_s.get((table.name, day), 0.0) <= now_s}
        if not due:
            return
        try:
            with writing(self._engine) as connection:
                days.make(connection, table, due)
        except UnavailableError as error:
            _log.info("%s gets no partition now: %s", table.name, error)
            self._again_s |= {(table.name, day): now_s + _AGAIN_S for day in due}
        else:
            self._known |= {(table.name, day) for day in due}


def _filled(added: Added) -> Iterable[tuple[Table, set[int]]]:
    """The days that each table of the ledger has new rows of."""
    others = (added.answer_blobs, added.confirmations, added.labels, added.label_blobs)
    days = [added.answers.days(), *({row[0] for row in rows} for rows in others)]
    return zip(LEDGER, days, strict=True)


def expire(connection: Connection, *, before_ms: int, limit: int = 2_000) -> int:
    """Up to `limit` requests older than `before_ms` are gone, with all that was kept of them, and
    as many labels that never found theirs; on PostgreSQL a day of requests as well.

    Counters stay. Returns how many requests, orphans and whole days went; 0 when none is left.
    """
    gone = 0
    if connection.dialect.name == "postgresql":
        if joined := _expire_joins(connection, day_at(before_ms), limit):
            return joined  # a day is dropped once nothing names its requests
        old = {day for table in LEDGER for day in days.existing(connection, table)}
        old = {day for day in old if day < day_at(before_ms)}
        if old:
            _drop(connection, min(old))
            gone = 1
        if len(old) > 1:
            return gone
    return gone + _expire_rows(connection, before_ms, limit)


def _expire_rows(connection: Connection, before_ms: int, limit: int) -> int:
    old = _aged(connection, answer, answer.c.event_ms, before_ms, limit)
    groups = {group_key(row) for row in joins_of(connection, old)}
    for table in (answer, answer_blob, confirmation, label, label_blob, join_row):
        _delete(connection, table, old)
    _forget(connection, groups)
    lost = _aged(connection, orphan, orphan.c.appended_ms, before_ms, limit)
    _delete(connection, orphan, lost)
    return len(old) + len(lost)


def _forget(connection: Connection, groups: set[bytes]) -> None:
    """What labels say of a join key goes with the last request that carried it."""
    groups = groups - {group_key(row) for row in joins_to(connection, groups)}
    own = bulk.by_request(connection, answer, groups, columns=("day", "pid16", "model_no"))
    groups -= {bulk.request_key(*row) for row in own}
    for table in (label, label_blob):
        _delete(connection, table, groups)


def _aged(
    connection: Connection, table: Table, time: Column[int], before_ms: int, limit: int
) -> set[bytes]:
    """Requests in `table` from before this time: by the day that their id tells, else by `time`."""
    at = table.c
    first_day = day_at(before_ms)
    old: list[Any] = []
    for aged in ((at.day > 0) & (at.day < first_day), (at.day == 0) & (time < before_ms)):
        requests = select(at.day, at.pid16, at.model_no).where(aged).distinct()
        old += connection.execute(requests.limit(limit - len(old)))
    return {bulk.request_key(*row) for row in old}


def _delete(connection: Connection, table: Table, keys: Iterable[bytes]) -> None:
    for key in keys:
        day, pid16, model_no = bulk.parts(key)
        connection.execute(
            delete(table).where(
                table.c.day == day, table.c.pid16 == pid16, table.c.model_no == model_no
            )
        )


def _expire_joins(connection: Connection, first_day: int, limit: int) -> int:
    """Join rows of requests of earlier days are gone; how many were, `limit` at most."""
    at = join_row.c
    names = ("join_day", "day", "pid16", "model_no", "join16")
    past = select(*(at[name] for name in names)).where(at.day > 0, at.day < first_day)
    rows = [tuple(row) for row in connection.execute(past.limit(limit))]
    _delete(connection, join_row, {bulk.request_key(*row[1:4]) for row in rows})
    _forget(connection, {group_key(row) for row in rows})
    return len(rows)


def _drop(connection: Connection, day: int) -> None:
    """The day's rows are gone, but for labels of a join key that a later request carries."""
    has_answers = day in days.existing(connection, answer)

    def keep(connection: Connection) -> None:
        places = [answer.name] + [days.name_of(answer.name, day)] * has_answers
        own = " AND ".join(
            f"NOT EXISTS (SELECT FROM {place} a WHERE a.day = l.day AND a.pid16 = l.pid16"
            " AND a.model_no = l.model_no)"
            for place in places
        )
        for table in (label, label_blob):
            if day in dated[table]:
                connection.exec_driver_sql(
                    f"INSERT INTO {table.name} SELECT l.* FROM {days.name_of(table.name, day)} l"  # noqa: S608
                    " JOIN (SELECT DISTINCT join16, model_no FROM join_row"
                    f" WHERE join_day = {day} AND join_day > 0) j"
                    f" ON j.join16 = l.pid16 AND j.model_no = l.model_no WHERE {own}"
                )

    dated = {table: days.existing(connection, table) for table in (label, label_blob)}
    days.drop(connection, LEDGER, day, keeping=keep)
