"""Messages to send, written in the transaction that causes them.

The relay claims a few, appends them to the log, and deletes them after the log acknowledged.
A relay that dies in between leaves them claimed until the claim runs out, and they are sent
again: consumers dedupe by message id, events by their own keys.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from streams.tables import outbox

_at = outbox.c
_CLAIMING = 0x50_454E_5354_4F42  # "PENSTOB"


class Message(msgspec.Struct, frozen=True):
    """One message: its id derives from its cause, so that causing it twice sends it once."""

    message_id: str
    topic: str
    key: str
    body: bytes
    partition: int | None = None  # None: by the key's hash


class Claimed(msgspec.Struct, frozen=True):
    """A message that this relay may send now."""

    id: int
    message_id: str
    topic: str
    key: str
    partition: int | None
    body: bytes


def put(connection: Connection, messages: Sequence[Message], *, now_ms: int) -> None:
    """The messages will be sent once this transaction commits; a known id is left alone."""
    if not messages:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    rows = [
        {
            "message_id": m.message_id, "topic": m.topic, "key": m.key,
            "partition": m.partition, "body": m.body, "created_ms": now_ms,
        }
        for m in messages
    ]  # fmt: skip
    connection.execute(dialect.insert(outbox).on_conflict_do_nothing(), rows)


def claim(
    connection: Connection, *, owner: str, now_ms: int, lease_ms: int, limit: int = 500
) -> list[Claimed]:
    """Up to `limit` unsent messages are claimed by `owner` until the lease ends, oldest first.

    A key's messages are sent in order: while an older one of the key is claimed by another
    relay, its later ones wait.
    """
    if connection.dialect.name == "postgresql":  # one claim at a time, so that each sees the others
        connection.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))
    older = outbox.alias("older")
    blocked = (
        select(older.c.id)
        .where(
            older.c.topic == _at.topic, older.c.key == _at.key, older.c.id < _at.id,
            older.c.claimed_until_ms > now_ms, older.c.claimed_by != owner,
        )
        .exists()
    )  # fmt: skip
    free = or_(_at.claimed_until_ms <= now_ms, _at.claimed_by == owner)
    chosen = select(_at.id).where(free, ~blocked).order_by(_at.id).limit(limit)
    if connection.dialect.name == "postgresql":
        chosen = chosen.with_for_update(skip_locked=True)
    ids = [row.id for row in connection.execute(chosen)]
    if not ids:
        return []
    connection.execute(
        update(outbox)
        .where(_at.id.in_(ids))
        .values(claimed_by=owner, claimed_until_ms=now_ms + lease_ms)
    )
    rows = connection.execute(
        select(_at.id, _at.message_id, _at.topic, _at.key, _at.partition, _at.body)
        .where(_at.id.in_(ids))
        .order_by(_at.id)
    )
    return [Claimed(*row) for row in rows]


def sent(connection: Connection, messages: Sequence[Claimed], *, owner: str) -> None:
    """The log acknowledged these: they are gone."""
    connection.execute(
        delete(outbox).where(_at.id.in_([m.id for m in messages]), _at.claimed_by == owner)
    )


def waiting(connection: Connection) -> tuple[int, int | None]:
    """(how many messages wait, when the oldest was written)."""
    row = connection.execute(select(func.count(), func.min(_at.created_ms))).one()
    return row[0], row[1]
