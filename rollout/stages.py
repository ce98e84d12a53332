"""The stages of a rollout, and the one table that says how it moves between them.

    draft > planned > shadow > supervised > canary[i] > approval > ab > probation > done

A spec names any of the middle ones, in this order; they are its course. `advance` is a look into
`TABLE`: what is not in it does not happen. What makes a signal is `rollout.signals`; what a move
means for traffic is `rollout.acting`.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from rollout.spec import (
    ABTest,
    Approval,
    Canary,
    Full,
    Otherwise,
    Scope,
    Shadow,
    Spec,
    Supervised,
)
from streams.errors import IllegalTransitionError, InputError


class Kind(StrEnum):
    """Where a rollout can stand. The values are what records, pages and the API say."""

    DRAFT = "draft"
    PLANNED = "planned"
    SHADOW = "shadow"
    SUPERVISED = "supervised"
    CANARY = "canary"
    APPROVAL = "approval"
    AB = "ab"
    PROBATION = "probation"  # all units, watched
    DONE = "done"
    PAUSED = "paused"  # weights stay as they are; rollback goes on
    ROLLING_BACK = "rolling-back"  # decided; not yet everywhere
    ROLLED_BACK = "rolled-back"
    CANCELLED = "cancelled"  # it never took traffic


class Signal(StrEnum):
    """What moves a rollout."""

    PLAN = "plan"
    START = "start"
    CANCEL = "cancel"
    ROLLBACK = "rollback"  # a person's
    HARM = "harm"
    BLIND = "blind"  # traffic, and no fresh evidence for `blindAfter`
    INVALID = "invalid"  # the evidence contradicts its own assumptions
    DEADLINE = "deadline"
    PAUSE = "pause"
    RESUME = "resume"
    SIGN = "sign"  # one person's approval
    DROP = "drop"  # one challenger of several goes, the others go on
    REVISE = "revise"  # another revision of the spec holds from here on
    ADVANCE = "advance"
    FINISH = "finish"  # probation is over
    RESTORED = "restored"  # every service has the champion again, or its table ran out


class Place(msgspec.Struct, frozen=True):
    """Where a rollout stands; `step` in its course is kept while it is paused or going back."""

    kind: Kind
    step: int = -1


class Step(msgspec.Struct, frozen=True):
    """One stage of a course.

    Args:
        weight: per cent of the units in scope that each challenger answers.
        number: which of the canary's weights this is, from 0.
        scope: the requests that may go to a challenger; None: all.
        confirm: whether a person confirms each of the challenger's answers.
        on_deadline: where it goes when its time is over.
    """

    kind: Kind
    stage: Shadow | Supervised | Canary | Approval | ABTest | Full
    weight: float
    number: int = 0
    scope: Scope | None = None
    confirm: bool = False
    on_deadline: Otherwise = "rollback"

    @property
    def name(self) -> str:
        return f"{self.kind}[{self.number}]" if self.kind is Kind.CANARY else self.kind.value


Course = tuple[Step, ...]

_ORDER = (Kind.SHADOW, Kind.SUPERVISED, Kind.CANARY, Kind.APPROVAL, Kind.AB, Kind.PROBATION)
LIVE = frozenset(_ORDER)
FINAL = frozenset({Kind.DONE, Kind.ROLLED_BACK, Kind.CANCELLED})


def course(spec: Spec) -> Course:
    """The steps that a spec's stages come to; an approval keeps the traffic of the step before it.

    Raises InputError for a stage that is not exactly one, and for stages out of order.
    """
    steps: list[Step] = []
    order: list[int] = []
    for place, entry in enumerate(spec.stages):
        given = entry.given()
        if len(given) != 1:
            raise InputError(
                f"stages[{place}]: {len(given)} stages stand here, not one",
                field=f"stages[{place}]",
                rule="exactly one stage each",
            )
        steps += _steps(given[0][1], before=steps[-1] if steps else None, spec=spec)
        order.append(_ORDER.index(steps[-1].kind))
    if order != sorted(set(order)):
        raise InputError(
            "the stages are out of order, or one stands twice",
            field="stages",
            rule="shadow, supervised, canary, approval, ab, full; any of them may be left out",
        )
    return tuple(steps)


def _steps(
    stage: Shadow | Supervised | Canary | Approval | ABTest | Full,
    *,
    before: Step | None,
    spec: Spec,
) -> list[Step]:
    match stage:
        case Full():
            return [Step(Kind.PROBATION, stage, 100.0)]
        case Approval():
            held = before or Step(Kind.APPROVAL, stage, 0.0)
            return [
                Step(
                    Kind.APPROVAL, stage, held.weight, scope=held.scope, confirm=held.confirm,
                    on_deadline=stage.otherwise,
                )
            ]  # fmt: skip
    ends = stage.on_deadline or spec.on_deadline
    match stage:
        case Shadow():
            return [Step(Kind.SHADOW, stage, 0.0, on_deadline=ends)]
        case Supervised():
            return [
                Step(
                    Kind.SUPERVISED, stage, stage.weight, scope=stage.where, confirm=True,
                    on_deadline=ends,
                )
            ]  # fmt: skip
        case Canary():
            return [
                Step(Kind.CANARY, stage, weight, number, on_deadline=ends)
                for number, weight in enumerate(stage.weights)
            ]
        case ABTest():
            return [Step(Kind.AB, stage, stage.weight, on_deadline=ends)]


def moved(before: Course, after: Course, place: Place) -> Place:
    """Where a rollout at `place` stands in the course of another revision: at the same step.

    Raises InputError when that step is gone, or would give other traffic than it does now.
    """
    if place.step < 0:
        return place
    here = before[place.step]
    for number, step in enumerate(after):
        if step.name != here.name:
            continue
        if (step.weight, step.scope, step.confirm) == (here.weight, here.scope, here.confirm):
            return Place(place.kind, number)
    raise InputError(
        f"the rollout stands at {here.name}, and the edit takes that step away or changes its"
        " traffic",
        field="stages",
        rule="the present step stays",
        why="the evidence of a step is about the units that it has",
        fix="keep this step as it is, and change those after it; or roll back",
    )


class _To(StrEnum):
    """Targets that depend on where the rollout stands."""

    NEXT = "the next step of the course, or done after the last"
    STAY = "where it is"
    BACK_IN = "the step it was paused at"
    AS_DECLARED = "what the step declares for its deadline"


Target = Kind | _To

_AWAY: dict[Signal, Target] = {
    Signal.ROLLBACK: Kind.ROLLING_BACK,
    Signal.HARM: Kind.ROLLING_BACK,
    Signal.BLIND: Kind.ROLLING_BACK,
    Signal.DEADLINE: _To.AS_DECLARED,
    Signal.DROP: _To.STAY,
    Signal.REVISE: _To.STAY,
}
_STAGE: dict[Signal, Target] = {
    **_AWAY,
    Signal.INVALID: Kind.PAUSED,
    Signal.PAUSE: Kind.PAUSED,
    Signal.ADVANCE: _To.NEXT,
}
_BY_KIND: dict[Kind, dict[Signal, Target]] = {
    Kind.DRAFT: {
        Signal.PLAN: Kind.PLANNED,
        Signal.REVISE: _To.STAY,
        Signal.CANCEL: Kind.CANCELLED,
    },
    Kind.PLANNED: {
        Signal.START: _To.NEXT,
        Signal.REVISE: _To.STAY,
        Signal.CANCEL: Kind.CANCELLED,
    },
    Kind.SHADOW: {**_STAGE, Signal.CANCEL: Kind.CANCELLED},
    Kind.SUPERVISED: _STAGE,
    Kind.CANARY: _STAGE,
    Kind.APPROVAL: {**_STAGE, Signal.SIGN: _To.STAY},
    Kind.AB: _STAGE,
    Kind.PROBATION: {
        Signal.ROLLBACK: Kind.ROLLING_BACK,
        Signal.HARM: Kind.ROLLING_BACK,
        Signal.BLIND: Kind.ROLLING_BACK,
        Signal.INVALID: Kind.PAUSED,
        Signal.PAUSE: Kind.PAUSED,  # it does not finish meanwhile
        Signal.REVISE: _To.STAY,
        Signal.FINISH: Kind.DONE,
    },
    Kind.PAUSED: {**_AWAY, Signal.RESUME: _To.BACK_IN},
    Kind.ROLLING_BACK: {Signal.RESTORED: Kind.ROLLED_BACK},
    Kind.DONE: {},
    Kind.ROLLED_BACK: {},
    Kind.CANCELLED: {},
}

TABLE: Mapping[tuple[Kind, Signal], Target] = MappingProxyType(
    {(kind, signal): to for kind, targets in _BY_KIND.items() for signal, to in targets.items()}
)
"""(where, signal) -> where to. The whole of it; a pair that is missing is refused."""


def accepts(place: Place, signal: Signal) -> bool:
    """Whether `signal` means anything to a rollout that stands at `place`."""
    return (place.kind, signal) in TABLE


def accepted(place: Place) -> list[Signal]:
    """Every signal that means something there."""
    return [signal for signal in Signal if accepts(place, signal)]


def advance(steps: Course, place: Place, signal: Signal) -> Place:
    """Where `signal` takes a rollout that stands at `place`.

    Raises IllegalTransitionError for a signal that means nothing there.
    """
    target = TABLE.get((place.kind, signal))
    if target is None:
        raise IllegalTransitionError(
            place.kind,
            signal,
            why="it has ended" if place.kind in FINAL else "",
            fix=(
                "another rollout, from the version that serves the route now"
                if place.kind in FINAL
                else f"accepted are {', '.join(accepted(place))}"
            ),
        )
    match target:
        case _To.NEXT:
            following = place.step + 1
            done = following >= len(steps)
            return Place(Kind.DONE, place.step) if done else Place(steps[following].kind, following)
        case _To.STAY:
            return place
        case _To.BACK_IN:
            return Place(steps[place.step].kind, place.step)
        case _To.AS_DECLARED:
            pauses = steps[place.step].on_deadline == "pause"
            return Place(Kind.PAUSED if pauses else Kind.ROLLING_BACK, place.step)
        case kind:
            return Place(kind, place.step)


def weight(steps: Course, place: Place) -> float:
    """Per cent of the units in scope that each challenger answers at this place.

    A course without `full` promotes nobody: once it is done, the champion has everything again.
    """
    if place.kind is Kind.DONE:
        return 100.0 if steps[place.step].kind is Kind.PROBATION else 0.0
    return steps[place.step].weight if place.kind in LIVE | {Kind.PAUSED} else 0.0
