"""What a decision means for traffic: plans, a route table, and messages that tell it."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.json import encode
from sqlalchemy import Connection

from rollout import kept, routes, store
from rollout.assignment import Place as Number
from rollout.courses import FINAL, Place
from rollout.decisions import Decision, Person, Published
from rollout.spec import Spec
from rollout.stages import Signal
from rollout.store import Standing
from rollout.traffic import NO_STEP, Traffic, changed
from streams import messages, outbox, plans
from streams.messages import RolloutDecided, RouteChanged
from streams.plans import EpochPlan
from streams.topics import DECISIONS


class Change(Struct, frozen=True, kw_only=True):
    """Traffic that changes, and what an epoch needs to know when it is frozen.

    Args:
        number: of the route table that says so.
        epoch: of the new traffic; 0: its events are evidence of nothing.
        ended: the epoch that is over with it; 0: there was none.
        given: for each challenger the largest share that it had before.
    """

    rollout: str
    salt: str
    spec: Spec
    traffic: Traffic
    number: Number
    epoch: int
    ended: int
    given: tuple[float, ...]
    at_ms: int

    @property
    def is_new(self) -> bool:
        """Whether an epoch begins with it: whenever there is evidence, for shares are frozen."""
        return self.epoch > 0

    @property
    def published(self) -> Published:
        return Published(
            route_version=self.number.version, epoch=self.epoch, shares=self.traffic.shares
        )


Freezing = Callable[[Connection, Change], None]
"""Appends the plans of a rollout's evidence: which epoch ends, which begins, and what it freezes.

It is called before the route table is published that shows the new route version.
"""


def change_of(
    connection: Connection, standing: Standing, after: Place, *, arm: str | None, at_ms: int
) -> Change | None:
    """How traffic changes when the rollout comes to `after` and `arm` is out; None: not at all."""
    state, spec, course = standing.state, standing.declared.spec, standing.course
    new = changed(spec, course, state.place, after, dropped=state.dropped, arm=arm)
    if new is None:
        return None
    before = state.published.epoch if state.published else 0
    epoch = store.next_epoch(connection) if new.step != NO_STEP else 0
    return Change(
        rollout=standing.name, salt=standing.salt, spec=spec, traffic=new,
        number=routes.upcoming(connection, standing.model, standing.route), epoch=epoch,
        ended=before, given=state.given, at_ms=at_ms,
    )  # fmt: skip


def done(
    connection: Connection,
    standing: Standing,
    decision: Decision,
    change: Change | None,
    *,
    wall_ms: int,
    freezing: Freezing | None,
) -> None:
    """Everything that a decision means stands beside it once the transaction commits.

    Raises ConflictError where another rollout has the route, its next number was taken, or the
    evidence that decided is not the newest.
    """
    kept.cite(connection, decision)
    if decision.signal is Signal.START:
        store.take_route(connection, standing)
    if decision.after.kind in FINAL:
        store.leave_route(connection, standing)
    told: list[messages.Message] = [_decided(standing, decision)]
    if change is not None:
        _plan(connection, change, decision)
        if freezing is not None:
            freezing(connection, change)
        table = change.traffic.table(
            change.number, change.spec, salt=change.salt, expires_at=wall_ms + routes.VALID_MS
        )
        routes.publish(connection, table)
        told.append(_route_changed(change))
    letters = [
        outbox.Message(each.id, DECISIONS.name, standing.name, messages.encode(each))
        for each in told
    ]
    outbox.put(connection, letters, now_ms=wall_ms)


def who(decision: Decision) -> str | None:
    """The person who decided; None where evidence or a time did."""
    return decision.cause.name if isinstance(decision.cause, Person) else None


def _plan(connection: Connection, change: Change, decision: Decision) -> None:
    """Intake knows what the route version is evidence of before any service can name it."""
    at = change.number
    salt = change.salt if change.spec.assignment.sticky else None
    epoch = EpochPlan(at.model, at.route, at.version, change.epoch, salt)
    plans.append(
        connection, kind=plans.EPOCH, id=change.rollout, body=encode(epoch),
        from_ms=change.at_ms, now_ms=change.at_ms, by=who(decision) or "rollout",
    )  # fmt: skip


def _decided(standing: Standing, decision: Decision) -> RolloutDecided:
    cause = decision.cause
    return RolloutDecided(
        id=f"decision/{standing.name}/{decision.seq}", at_ms=decision.at_ms,
        rollout=standing.name, model=standing.model, route=standing.route, seq=decision.seq,
        signal=decision.signal, before=decision.before.kind, after=decision.after.kind,
        who=who(decision), hash=decision.hash,
        because=(cause.reason,) if isinstance(cause, Person) else cause.reasons,
    )  # fmt: skip


def _route_changed(change: Change) -> RouteChanged:
    at = change.number
    return RouteChanged(
        id=f"route/{at.model}/{at.route}/{at.generation}.{at.version}", at_ms=change.at_ms,
        rollout=change.rollout, model=at.model, route=at.route, generation=at.generation,
        version=at.version,
    )  # fmt: skip
