"""What `penstock db status` tells: schema, database, the ledger's days, the last expiry."""

import msgspec
from sqlalchemy import Connection, func, select

from penstock import installation
from penstock.settings import Settings
from streams.db import days
from streams.db.engine import connect, reading
from streams.db.state import Day, ledger_days, state
from streams.installation import Expiry, last_expiry
from streams.tables import LEDGER, answer


class LedgerDay(msgspec.Struct, frozen=True):
    """A day of the ledger on PostgreSQL; `rows` is the server's own estimate."""

    date: str
    bytes: int
    rows: int
    partitions: list[str]


class Seen(msgspec.Struct, frozen=True):
    """What is behind the database's address; without a database, only its schema is known."""

    current: str | None
    head: str | None
    pending: list[str]
    kind: str | None = None
    version: str | None = None
    bytes: int | None = None
    sessions: dict[str, int] = {}
    max_sessions: int | None = None
    oldest_day: str | None = None
    newest_day: str | None = None
    last_expiry_ms: int | None = None
    expired_before_ms: int | None = None
    days: list[LedgerDay] = []


def look(settings: Settings) -> Seen:
    """The database as it stands; one that does not exist yet is not made by looking."""
    schema = installation.schema(settings)
    seen = Seen(schema.current, schema.head, list(schema.pending))
    if schema.current is None:
        return seen
    engine = connect(settings.database, connections=1, name="penstock cli")
    try:
        with reading(engine) as connection:
            return _seen(connection, seen)
    finally:
        engine.dispose()


def _seen(connection: Connection, schema: Seen) -> Seen:
    now = state(connection)
    at = answer.c.day
    # Two looks: SQLite goes to either end of the key for one alone, and through it for both.
    oldest, newest = (
        connection.execute(select(end(at)).where(at > 0)).scalar_one()
        for end in (func.min, func.max)
    )
    expiry = last_expiry(connection) or Expiry(0, 0)
    return msgspec.structs.replace(
        schema,
        kind=now.kind,
        version=now.version,
        bytes=now.bytes,
        sessions=now.sessions,
        max_sessions=now.max_sessions,
        oldest_day=None if oldest is None else days.date_of(oldest),
        newest_day=None if newest is None else days.date_of(newest),
        last_expiry_ms=expiry.at_ms or None,
        expired_before_ms=expiry.before_ms or None,
        days=[_day(day) for day in ledger_days(connection, LEDGER)],
    )


def _day(day: Day) -> LedgerDay:
    name = {0: "undated", -1: "other days"}.get(day.day) or days.date_of(day.day)
    return LedgerDay(name, day.bytes, day.row_count, list(day.partitions))
