"""What webhooks are to be told: each message once for each, again and again until it is taken.

A delivery is claimed by moving the time at which it is due: whoever dies with it in hand leaves
it due a little later, and it goes out again under the same id. What became of an attempt is noted
only by who holds the claim.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from streams.tables import webhook_delivery

WAITING, TAKEN, GIVEN_UP, DROPPED = "waiting", "delivered", "given up", "dropped"
"""On its way; a 2xx came; every attempt failed; its webhook ended first."""

_at = webhook_delivery.c


class New(msgspec.Struct, frozen=True):
    """Something to tell: `message_id` is what the receiver knows it again by."""

    webhook: str
    message_id: str
    event: str
    body: bytes


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery and what became of it. Wall time.

    Args:
        due_ms: when it is tried again; None: it is settled.
        status: of the last answer; None where there was none.
        said: why it was not taken, the last time.
    """

    id: int
    message_id: str
    event: str
    created_ms: int
    state: str
    attempts: int
    due_ms: int | None
    tried_ms: int | None
    status: int | None
    said: str


class Claimed(msgspec.Struct, frozen=True):
    """A delivery that we may try now, until `due_ms`, which stands for the claim."""

    id: int
    webhook: str
    message_id: str
    event: str
    body: bytes
    attempts: int  # before this one
    due_ms: int


class Waiting(msgspec.Struct, frozen=True):
    """How much of one webhook is on its way, and since when the oldest."""

    webhook: str
    count: int
    oldest_ms: int


def put(connection: Connection, deliveries: Sequence[New], *, now_ms: int) -> None:
    """They are due at once; what a webhook was told, or is to be told already, is left alone."""
    if not deliveries:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    rows = [
        {
            **msgspec.structs.asdict(each), "created_ms": now_ms, "state": WAITING, "attempts": 0,
            "due_ms": now_ms, "said": "",
        }
        for each in deliveries
    ]  # fmt: skip
    connection.execute(dialect.insert(webhook_delivery).on_conflict_do_nothing(), rows)


def due(connection: Connection, *, now_ms: int) -> list[str]:
    """The webhooks for which something is due."""
    return sorted(
        connection.execute(select(_at.webhook).where(_at.due_ms <= now_ms).distinct()).scalars()
    )


def claim(connection: Connection, webhook: str, *, now_ms: int, for_ms: int) -> Claimed | None:
    """What has been due longest is ours for a while; None: nothing is, or another took it.

    Who fails again and again comes after those whose turn it was meanwhile.
    """
    row = connection.execute(
        select(_at.id, _at.webhook, _at.message_id, _at.event, _at.body, _at.attempts, _at.due_ms)
        .where(_at.webhook == webhook, _at.due_ms <= now_ms)
        .order_by(_at.due_ms, _at.id)
        .limit(1)
    ).first()
    if row is None:
        return None
    until_ms = now_ms + for_ms
    mine = (_at.id == row.id) & (_at.due_ms == row.due_ms)
    taken = connection.execute(update(webhook_delivery).where(mine).values(due_ms=until_ms))
    return Claimed(**{**row._mapping, "due_ms": until_ms}) if taken.rowcount else None


def note(
    connection: Connection,
    claimed: Claimed,
    *,
    state: str,
    due_ms: int | None,
    status: int | None,
    said: str,
    now_ms: int,
) -> bool:
    """What became of the attempt; False where the claim has run out and another has it."""
    mine = (_at.id == claimed.id) & (_at.due_ms == claimed.due_ms)
    noted = connection.execute(
        update(webhook_delivery)
        .where(mine)
        .values(
            state=state, due_ms=due_ms, attempts=_at.attempts + 1, tried_ms=now_ms, status=status,
            said=said,
        )
    )  # fmt: skip
    return noted.rowcount > 0


def again(
    connection: Connection, webhook: str, *, events: Collection[str] | None, now_ms: int
) -> int:
    """These are due now, as if they were new, taken or not; None: all that were given up.

    Returns how many.
    """
    which = _at.state == GIVEN_UP if events is None else _at.event.in_(events)
    renewed = connection.execute(
        update(webhook_delivery)
        .where(_at.webhook == webhook, which)
        .values(state=WAITING, attempts=0, due_ms=now_ms)
    )
    return renewed.rowcount


def drop(connection: Connection, webhook: str) -> None:
    """Nothing is on its way to the webhook any more."""
    connection.execute(
        update(webhook_delivery)
        .where(_at.webhook == webhook, _at.due_ms.is_not(None))
        .values(state=DROPPED, due_ms=None)
    )


def page(
    connection: Connection, webhook: str, *, limit: int, before_id: int | None = None
) -> list[Delivery]:
    """What a webhook was told, or is to be: the newest first, those before an id."""
    asked = select(*(_at[name] for name in Delivery.__struct_fields__)).where(
        _at.webhook == webhook
    )
    if before_id is not None:
        asked = asked.where(_at.id < before_id)
    return [_read(row) for row in connection.execute(asked.order_by(_at.id.desc()).limit(limit))]


def waiting(connection: Connection) -> list[Waiting]:
    """What is on its way, by webhook."""
    rows = connection.execute(
        select(_at.webhook, func.count(), func.min(_at.created_ms))
        .where(_at.due_ms.is_not(None))
        .group_by(_at.webhook)
    )
    return [Waiting(*row) for row in rows]


def forget(connection: Connection, *, before_ms: int) -> int:
    """Settled deliveries from before are gone; returns how many."""
    old = (_at.created_ms < before_ms) & _at.due_ms.is_(None)
    return connection.execute(delete(webhook_delivery).where(old)).rowcount


def _read(row: Row[Any]) -> Delivery:
    return Delivery(**row._mapping)
