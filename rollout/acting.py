"""The one way to decide: a signal becomes a record, and with it, in the same transaction, plans, a
route table and messages.

Controller, web and command line all come here. Who comes second is told to look again; but what
goes back to the champion is decided anew from where the rollout stands then, and never refused.
"""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Engine

from rollout import courses, permits, stages, store
from rollout.consequences import Change, Freezing, change_of, done, who
from rollout.courses import Kind
from rollout.decisions import Cause, Decision
from rollout.stages import Signal
from rollout.store import Standing
from streams.db.engine import writing
from streams.errors import ConflictError

T = TypeVar("T")

TRIES = 20
"""How often what goes back is decided anew; each time another decision was made in between."""

BACK = frozenset({Signal.ROLLBACK, Signal.HARM, Signal.BLIND})


class Ask(Struct, frozen=True, kw_only=True):
    """What somebody wants of a rollout.

    Args:
        arm: the challenger that goes, of a drop.
        revision: digest of the spec that is to hold, of a revision.
        seen_seq: the decision after which this was asked; None: whatever stands now.
    """

    rollout: str
    signal: Signal
    cause: Cause
    arm: str | None = None
    revision: str | None = None
    seen_seq: int | None = None


def decide(
    engine: Engine, ask: Ask, *, now_ms: int, wall_ms: int, freezing: Freezing | None = None
) -> Decision:
    """`act` in a transaction of its own; going back is tried again when the database says so."""
    return committed(
        engine,
        lambda connection: act(connection, ask, now_ms=now_ms, wall_ms=wall_ms, freezing=freezing),
        goes_back=ask.signal in BACK,
    )


def committed(engine: Engine, work: Callable[[Connection], T], *, goes_back: bool) -> T:
    """What `work` comes to, in a transaction of its own.

    What goes back is tried again when the database says so; for the rest ConflictError is raised.
    """
    for _ in range(TRIES - 1):
        try:
            with writing(engine) as connection:
                return work(connection)
        except ConflictError:
            if not goes_back:
                raise
    with writing(engine) as connection:
        return work(connection)


def act(
    connection: Connection,
    ask: Ask,
    *,
    now_ms: int,
    wall_ms: int,
    freezing: Freezing | None = None,
) -> Decision:
    """The decision that `ask` came to: made, or the one that has led back already.

    Args:
        now_ms: domain time, of the record; wall_ms is for how long the route table is valid.
        freezing: without it nothing is counted as evidence of the rollout.

    Raises:
        ConflictError: somebody decided since `seen_seq`, or another rollout has the route.
        IllegalTransitionError: the signal means nothing where the rollout stands, or not yet.
        NotAllowedError: this person's signature does not count.
        InputError: there is no such rollout or challenger.
    """
    goes_back = ask.signal in BACK
    for _ in range(TRIES):
        standing = store.standing(connection, ask.rollout)
        state = standing.state
        if goes_back and state.place.kind in (Kind.ROLLING_BACK, Kind.ROLLED_BACK):
            return standing.decisions[-1]
        if not goes_back and ask.seen_seq not in (None, state.seq):
            raise _moved(standing)
        if not goes_back:
            ask = replace(ask, seen_seq=state.seq)
        decision, change = _made(connection, standing, ask, now_ms=now_ms)
        begins = change.epoch if change and change.is_new else None
        if store.append(connection, decision, begins_epoch=begins):
            done(connection, standing, decision, change, wall_ms=wall_ms, freezing=freezing)
            return decision
    raise _moved(standing)


def _made(
    connection: Connection, standing: Standing, ask: Ask, *, now_ms: int
) -> tuple[Decision, Change | None]:
    """The record that `ask` would be, and how traffic changes with it."""
    state, signal = standing.state, ask.signal
    if signal is Signal.ROLLBACK and state.place.kind in (Kind.DRAFT, Kind.PLANNED):
        signal = Signal.CANCEL
    after = stages.advance(standing.course, state.place, signal)
    permits.check(connection, standing, signal, ask.cause, arm=ask.arm, after=after)
    change = None
    if ask.revision is not None:
        after = courses.moved(standing.course, standing.course_of(ask.revision), after)
    else:
        change = change_of(connection, standing, after, arm=ask.arm, at_ms=now_ms)
    decision = state.decided(
        signal, after, ask.cause, at_ms=now_ms, arm=ask.arm, revision=ask.revision,
        published=change.published if change else None,
    )  # fmt: skip
    return decision, change


def _moved(standing: Standing) -> ConflictError:
    told = f"rollout {standing.name!r} has moved"
    if standing.decisions:
        last = standing.decisions[-1]
        told += f": decision {last.seq} is {last.signal}"
        told += f" by {name}" if (name := who(last)) else ""
    return ConflictError(
        told,
        why=f"it is {standing.state.place.kind} now",
        fix=f"look again: penstock rollout get {standing.name}",
    )
