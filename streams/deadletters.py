"""What could not be taken: kept with its place and the reason, browsable, and sendable again."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from streams.arrivals import DeadLetter
from streams.tables import dead_letter

_at = dead_letter.c


class Stored(msgspec.Struct, frozen=True):
    """A dead letter in the store."""

    id: int
    topic: str
    partition: int
    log_offset: int
    idx: int
    code: str
    field: str
    detail: str
    raw: bytes
    key_id: str | None
    at_ms: int
    retried_ms: int | None


def save(connection: Connection, topic: str, letters: Sequence[DeadLetter]) -> None:
    """These letters are stored; a place that has one already keeps it."""
    if not letters:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    rows = [
        {
            "topic": topic,
            "partition": letter.partition,
            "log_offset": letter.offset,
            "idx": letter.index,
            "code": letter.code,
            "field": _storable(letter.field),
            "detail": _storable(letter.detail),
            "raw": letter.raw,
            "key_id": None if letter.key_id is None else _storable(letter.key_id),
            "at_ms": letter.at_ms,
        }
        for letter in letters
    ]
    connection.execute(dialect.insert(dead_letter).on_conflict_do_nothing(), rows)


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL."""
    return text.replace("\0", "\\0")


def page(connection: Connection, *, after_id: int = 0, limit: int = 100) -> list[Stored]:
    """Up to `limit` dead letters past `after_id`, oldest first."""
    rows = connection.execute(
        select(dead_letter).where(_at.id > after_id).order_by(_at.id).limit(limit)
    )
    return [Stored(*row) for row in rows]


def by_code(connection: Connection) -> dict[str, int]:
    """How many there are of each code."""
    rows = connection.execute(select(_at.code, func.count()).group_by(_at.code).order_by(_at.code))
    return {row[0]: row[1] for row in rows}


def mark_retried(connection: Connection, ids: Iterable[int], now_ms: int) -> None:
    """These letters were sent again."""
    connection.execute(update(dead_letter).where(_at.id.in_(list(ids))).values(retried_ms=now_ms))


def expire(connection: Connection, *, before_ms: int) -> int:
    """Letters older than this are gone; returns how many."""
    return connection.execute(delete(dead_letter).where(_at.at_ms < before_ms)).rowcount
