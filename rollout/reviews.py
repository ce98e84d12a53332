"""Reviews as rows: open until the first of what can close them, and then as it said for ever.

A person answers, the time is over, or the rollout goes back. Each is one compare-and-swap of the
row, so that nobody's clock, and nobody who comes second, changes what a service was told.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rollout.proposals import Asked
from rollout.tables import review
from streams import messages, outbox
from streams.messages import ReviewClosed
from streams.topics import DECISIONS

_at = review.c


class State(StrEnum):
    """What can become of a review; all but the first are for ever."""

    OPEN = "open"
    CONFIRMED = "confirmed"  # the proposed answer is acted on
    REFUSED = "refused"  # the champion's is, as after all that follows
    TIMED_OUT = "timed-out"  # nobody answered in time
    WITHDRAWN = "withdrawn"  # the rollout went back before anybody answered


class Review(Struct, frozen=True, kw_only=True):
    """A proposed answer and what became of it.

    Times are domain time, ms. `answer` is the event as it was sent, as long as the request's own
    data is kept; `label` what would have been right, by whoever refused.
    """

    id: str
    model: str
    rollout: str
    epoch: int
    prediction_id: str
    version: str
    probability: float
    opened_ms: int
    deadline_ms: int
    answer: bytes | None
    state: State
    by: str | None
    reason: str | None
    label: str | None
    closed_ms: int | None


class Saying(Struct, frozen=True, kw_only=True):
    """What a person says of a proposed answer."""

    state: State
    by: str
    reason: str
    label: str | None = None


def ask(connection: Connection, asked: Sequence[Asked]) -> None:
    """These reviews are open. A request has one: of two proposed answers the first asks."""
    if asked:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        rows = [{**each._asdict(), "state": State.OPEN} for each in asked]
        connection.execute(dialect.insert(review).on_conflict_do_nothing(), rows)


def answer(connection: Connection, id: str, saying: Saying, *, now_ms: int, wall_ms: int) -> bool:
    """Whether it was open and in time, and so is as `saying` says now."""
    values = {
        "state": saying.state, "by": saying.by, "reason": saying.reason, "label": saying.label,
        "closed_ms": now_ms,
    }  # fmt: skip
    mine = (_at.id == id) & (_at.deadline_ms > now_ms)
    return bool(_close(connection, mine, values, wall_ms=wall_ms))


def time_out(connection: Connection, *, now_ms: int, wall_ms: int) -> int:
    """Open reviews whose time is over have timed out; how many."""
    values = {"state": State.TIMED_OUT, "closed_ms": _at.deadline_ms}
    return _close(connection, _at.deadline_ms <= now_ms, values, wall_ms=wall_ms)


def overdue(connection: Connection, *, now_ms: int) -> bool:
    """Whether some are open whose time is over."""
    late = select(_at.id).where(_at.state == State.OPEN, _at.deadline_ms <= now_ms).limit(1)
    return connection.execute(late).first() is not None


def withdraw(
    connection: Connection, rollout: str, version: str, *, now_ms: int, wall_ms: int
) -> int:
    """Nobody is asked any more about this version's answers; how many were open."""
    values = {"state": State.WITHDRAWN, "closed_ms": now_ms}
    mine = (_at.rollout == rollout) & (_at.version == version)
    return _close(connection, mine, values, wall_ms=wall_ms)


def asking(connection: Connection) -> list[tuple[str, str]]:
    """(rollout, version) of which reviews are open."""
    rows = connection.execute(
        select(_at.rollout, _at.version).where(_at.state == State.OPEN).distinct()
    )
    return sorted((row.rollout, row.version) for row in rows)


def found(connection: Connection, id: str) -> Review | None:
    """The review of this id."""
    row = connection.execute(select(review).where(_at.id == id)).first()
    return None if row is None else _review(row)


def standing(connection: Connection, ids: Collection[str]) -> dict[str, tuple[State, int]]:
    """State and deadline of those of these that there are."""
    rows = connection.execute(
        select(_at.id, _at.state, _at.deadline_ms).where(_at.id.in_(sorted(ids)))
    )
    return {row.id: (State(row.state), row.deadline_ms) for row in rows}


def listed(
    connection: Connection,
    *,
    state: State | None = None,
    rollout: str | None = None,
    models: Collection[str] | None = None,
    after: tuple[int, str] | None = None,
    limit: int,
) -> list[Review]:
    """Those that are due first, of these models (None: all), after (deadline, id) of another."""
    wanted: list[ColumnElement[bool]] = []
    if state is not None:
        wanted.append(_at.state == state)
    if rollout is not None:
        wanted.append(_at.rollout == rollout)
    if models is not None:
        wanted.append(_at.model.in_(sorted(models)))
    if after is not None:
        due_ms, id = after
        later = and_(_at.deadline_ms == due_ms, _at.id > id)
        wanted.append(or_(_at.deadline_ms > due_ms, later))
    rows = connection.execute(
        select(review).where(*wanted).order_by(_at.deadline_ms, _at.id).limit(limit)
    )
    return [_review(row) for row in rows]


def counts(connection: Connection, epochs: Collection[int]) -> dict[tuple[int, str, State], int]:
    """How many reviews of each epoch and version are in each state."""
    key = (_at.epoch, _at.version, _at.state)
    rows = connection.execute(
        select(*key, func.count().label("n")).where(_at.epoch.in_(sorted(epochs))).group_by(*key)
    )
    return {(row.epoch, row.version, State(row.state)): row.n for row in rows}


def forget(connection: Connection, *, before_ms: int) -> None:
    """Of reviews that were opened before then nothing is left that a service sent but names."""
    old = (_at.opened_ms < before_ms) & _at.answer.is_not(None)
    connection.execute(update(review).where(old).values(answer=None))


def _close(
    connection: Connection,
    which: ColumnElement[bool],
    values: Mapping[str, Any],
    *,
    wall_ms: int,
) -> int:
    """Those that are open are closed, and the topic tells it; how many."""
    rows = connection.execute(
        update(review).where(_at.state == State.OPEN, which).values(values).returning(*_at)
    )
    closed = sorted((_review(row) for row in rows), key=lambda each: each.id)
    letters = [
        outbox.Message(told.id, DECISIONS.name, told.rollout, messages.encode(told))
        for told in map(_told, closed)
    ]
    outbox.put(connection, letters, now_ms=wall_ms)
    return len(closed)


def _told(closed: Review) -> ReviewClosed:
    assert closed.closed_ms is not None
    return ReviewClosed(
        id=f"review/{closed.id}", at_ms=closed.closed_ms, rollout=closed.rollout,
        model=closed.model, prediction_id=closed.prediction_id, version=closed.version,
        probability=closed.probability, state=closed.state, who=closed.by, label=closed.label,
    )  # fmt: skip


def _review(row: Row[Any]) -> Review:
    return Review(**{**row._mapping, "state": State(row.state)})
