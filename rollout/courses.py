"""The course of a rollout: the steps that its spec comes to, and where on it a rollout stands.

    draft > planned > shadow > supervised > canary[i] > approval > ab > probation > done

A spec names any of the middle ones, in this order.
"""

from enum import StrEnum

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
from streams.errors import InputError
from streams.models import duration_ms


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
        confirm_ms: how long a person has to confirm each of the challenger's answers; 0: nobody
            is asked.
        on_deadline: where it goes when its time is over.
    """

    kind: Kind
    stage: Shadow | Supervised | Canary | Approval | ABTest | Full
    weight: float
    number: int = 0
    scope: Scope | None = None
    confirm_ms: int = 0
    on_deadline: Otherwise = "rollback"

    @property
    def deadline_ms(self) -> int:
        """For how long a rollout stays in the stage at most; in probation unless it ends well."""
        if isinstance(self.stage, Full) and self.stage.deadline is None:
            return 2 * duration_ms(self.stage.probation)
        return duration_ms(self.deadline)

    @property
    def deadline(self) -> str:
        """The same in words."""
        if isinstance(self.stage, Full):
            return self.stage.deadline or f"twice {self.stage.probation}"
        return self.stage.deadline

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
    if isinstance(stage, Approval):
        held = before or Step(Kind.APPROVAL, stage, 0.0)
        return [
            Step(
                Kind.APPROVAL, stage, held.weight, scope=held.scope,
                confirm_ms=held.confirm_ms, on_deadline=stage.otherwise,
            )
        ]  # fmt: skip
    ends = stage.on_deadline or spec.on_deadline
    match stage:
        case Shadow():
            return [Step(Kind.SHADOW, stage, 0.0, on_deadline=ends)]
        case Supervised():
            return [
                Step(
                    Kind.SUPERVISED, stage, stage.weight, scope=stage.where,
                    confirm_ms=duration_ms(stage.confirm_within), on_deadline=ends,
                )
            ]  # fmt: skip
        case Canary():
            return [
                Step(Kind.CANARY, stage, weight, number, on_deadline=ends)
                for number, weight in enumerate(stage.weights)
            ]
        case ABTest():
            return [Step(Kind.AB, stage, stage.weight, on_deadline=ends)]
        case Full():
            return [Step(Kind.PROBATION, stage, 100.0, on_deadline=ends)]


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
        if (step.weight, step.scope, step.confirm_ms) == (here.weight, here.scope, here.confirm_ms):
            return Place(place.kind, number)
    raise InputError(
        f"the rollout stands at {here.name}, and the edit takes that step away or changes its"
        " traffic",
        field="stages",
        rule="the present step stays",
        why="the evidence of a step is about the units that it has",
        fix="keep this step as it is, and change those after it; or roll back",
    )


def weight(steps: Course, place: Place) -> float:
    """Per cent of the units in scope that each challenger answers at this place.

    A course without `full` promotes nobody: once it is done, the champion has everything again.
    """
    if place.kind is Kind.DONE:
        return 100.0 if steps[place.step].kind is Kind.PROBATION else 0.0
    return steps[place.step].weight if place.kind in LIVE | {Kind.PAUSED} else 0.0
