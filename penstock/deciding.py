"""Decisions of people about rollouts: the one way for the command line and for HTTP.

What somebody wants becomes signals, and `rollout.acting` decides. A way forward is held against
the newest look and the calendar; a way back is held against nothing.
"""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from penstock.errors import ConditionError
from penstock.rollout_details import scene
from rollout import editing, kept, stages, store
from rollout.acting import Ask, act
from rollout.courses import Kind
from rollout.decisions import Person
from rollout.freezes import frozen_until
from rollout.objections import Objection, objections
from rollout.opening import freezing
from rollout.stages import Signal
from rollout.store import Standing
from streams.db.clock import Clock
from streams.errors import InputError


class Action(StrEnum):
    """What a person can do to a rollout."""

    START = "start"
    PROMOTE = "promote"  # a step further, or the end of probation
    PAUSE = "pause"
    RESUME = "resume"
    ROLLBACK = "rollback"
    APPROVE = "approve"


class Wish(Struct, frozen=True, kw_only=True):
    """What somebody wants of a rollout.

    Args:
        arm: of a rollback, the one challenger that goes; None: all.
        override: metrics that may speak against a promotion.
        in_freeze: whether it is done although the spec has a freeze now.
        revision: of an approval, the revision that waits for a second person.
        seen_seq: the decision after which this was asked; None: whatever stands now.
    """

    rollout: str
    action: Action
    who: Person
    arm: str | None = None
    override: tuple[str, ...] = ()
    in_freeze: bool = False
    revision: int | None = None
    seen_seq: int | None = None

    @property
    def goes_back(self) -> bool:
        """Whether all traffic goes back to the champion: that is never refused."""
        return self.action is Action.ROLLBACK and self.arm is None


_SIGNALS = {
    Action.PAUSE: Signal.PAUSE,
    Action.RESUME: Signal.RESUME,
    Action.ROLLBACK: Signal.ROLLBACK,
    Action.APPROVE: Signal.SIGN,
}


def carry_out(connection: Connection, wish: Wish, *, clock: Clock) -> Standing:
    """Where the rollout stands once `wish` is decided, in the caller's transaction.

    Raises:
        ConditionError: a freeze, or the evidence speaks against a promotion that names no override.
        ConflictError, IllegalTransitionError, NotAllowedError, InputError: see `acting.act`.
    """
    seen = store.standing(connection, wish.rollout)
    match wish.action:
        case Action.START:
            _not_frozen(seen, wish, now_ms=clock.domain_ms())
            if seen.state.place.kind is Kind.DRAFT:
                _decided(connection, wish, Signal.PLAN, clock=clock)
                wish = replace(wish, seen_seq=None)
            _decided(connection, wish, Signal.START, clock=clock)
        case Action.PROMOTE:
            _promote(connection, seen, wish, clock=clock)
        case Action.APPROVE if wish.revision is not None:
            now_ms, wall_ms = clock.domain_ms(), clock.wall_ms()
            editing.confirm(
                connection, seen.name, wish.revision, who=wish.who, now_ms=now_ms, wall_ms=wall_ms
            )
        case Action.ROLLBACK if wish.arm is not None:
            _decided(connection, wish, Signal.DROP, clock=clock)
        case action:
            _decided(connection, wish, _SIGNALS[action], clock=clock)
    return store.standing(connection, wish.rollout)


def opposed(
    connection: Connection, seen: Standing, *, now_ms: int
) -> tuple[str, tuple[Objection, ...]]:
    """(digest of the newest look, what it says against an advance); no look proves nothing."""
    look = kept.newest(connection, seen.name)
    return look.digest if look else "", objections(scene(seen, look, now_ms=now_ms))


def _promote(connection: Connection, seen: Standing, wish: Wish, *, clock: Clock) -> None:
    place, now_ms = seen.state.place, clock.domain_ms()
    if place.kind in (Kind.DRAFT, Kind.PLANNED):
        raise ConditionError(
            f"{seen.name} has not begun", fix=f"penstock rollout start {seen.name}"
        )
    _not_frozen(seen, wish, now_ms=now_ms)
    _known(seen, wish)
    signal = Signal.FINISH if place.kind is Kind.PROBATION else Signal.ADVANCE
    who = wish.who
    if stages.accepts(place, signal):
        snapshot, against = opposed(connection, seen, now_ms=now_ms)
        _overridden(seen, wish, against)
        passed = {each.metric for each in against}
        names = tuple(name for name in wish.override if name in passed)
        who = replace(who, overrides=names, snapshot=snapshot)
    _decided(connection, replace(wish, who=who), signal, clock=clock)


def _known(seen: Standing, wish: Wish) -> None:
    metrics = seen.declared.spec.by_name
    for name in wish.override:
        if name not in metrics:
            raise InputError(
                f"{name!r} is no metric of {seen.name}",
                field="override",
                fix=f"one of {', '.join(metrics)}",
            )


def _overridden(seen: Standing, wish: Wish, against: tuple[Objection, ...]) -> None:
    left = [each for each in against if each.metric not in wish.override]
    if not left:
        return
    names = dict.fromkeys(each.metric for each in left)
    raise ConditionError(
        f"promotion blocked: {'; '.join(f'{each.metric}: {each.reason}' for each in left)}",
        why="a step is left by proof, or by a person who passes over what is not proven",
        fix="wait (penstock rollout explain "
        f"{seen.name}), or answer for it: {' '.join(f'--override {name}' for name in names)}",
    )


def _not_frozen(seen: Standing, wish: Wish, *, now_ms: int) -> None:
    until_ms = frozen_until(seen.declared.spec.freeze, now_ms)
    if until_ms is not None and not wish.in_freeze:
        raise ConditionError(
            f"{seen.name} is in a freeze for {(until_ms - now_ms) / 3_600_000:.1f} h more",
            why="its spec says that nothing advances now",
            fix="wait, or say --in-freeze and a reason that names why it cannot",
        )


def _decided(connection: Connection, wish: Wish, signal: Signal, *, clock: Clock) -> None:
    ask = Ask(
        rollout=wish.rollout, signal=signal, cause=wish.who, arm=wish.arm, seen_seq=wish.seen_seq
    )
    now_ms, wall_ms = clock.domain_ms(), clock.wall_ms()
    act(connection, ask, now_ms=now_ms, wall_ms=wall_ms, freezing=freezing(clock.speed))
