"""What an advance waits for: gates that must all be open before a step is left."""

from collections.abc import Iterator

from msgspec import Struct

from evidence.decision import Verdict
from rollout.courses import FINAL, LIVE, Kind
from rollout.freezes import frozen_until
from rollout.scenes import Reached, Scene, about, is_harm, lets_pass, over_budget
from rollout.spec import Least
from streams.models import duration_ms


class Wait(Struct, frozen=True):
    """What an advance waits for, at which gate, and until when at least if a clock alone tells.

    `gate` is a metric, a field of the spec, or what people call it.
    """

    reason: str
    gate: str
    until_ms: int | None = None


def waits(scene: Scene) -> list[Wait]:
    """Everything that keeps the rollout from its next step; empty where nothing does.

    A rollout that is paused, or not under way, waits for a person.
    """
    if scene.kind not in LIVE:
        ends = FINAL | {Kind.ROLLING_BACK}
        return [] if scene.kind in ends else [Wait(f"{scene.kind}: a person goes on", "people")]
    return [wait for gate in GATES for wait in gate(scene)]


def _freeze(scene: Scene) -> Iterator[Wait]:
    until_ms = frozen_until(scene.spec.freeze, scene.now_ms)
    if until_ms is not None:
        yield Wait("a freeze", "freeze", until_ms)


def _age(scene: Scene) -> Iterator[Wait]:
    """How long a step lasts at least: its dwell, the age among its floors, its probation."""
    stage = scene.step.stage
    least = getattr(stage, "least", Least())
    fields = {
        "dwell": getattr(stage, "dwell", None),
        "min.age": least.age,
        "probation": getattr(stage, "probation", None),
    }
    for name, text in fields.items():
        until_ms = scene.state.since_ms + duration_ms(text) if text else 0
        if scene.now_ms < until_ms:
            yield Wait(f"{name}: {text}", name, until_ms)


def _floors(scene: Scene) -> Iterator[Wait]:
    least = getattr(scene.step.stage, "least", Least())
    words = {"units": "units reviewed"} if scene.step.confirm_ms else {}
    for arm in scene.left:
        reached = scene.facts.reached.get(arm, Reached())
        for name in ("pairs", "audited", "units"):
            floor, so_far = getattr(least, name) or 0, getattr(reached, name)
            if so_far < floor:
                told = f"{arm}: {so_far:,} of {floor:,} {words.get(name, name)}"
                yield Wait(told, f"min.{name}")


def _proof(scene: Scene) -> Iterator[Wait]:
    for arm in scene.left:
        yield from _unproven(scene, arm)


def _exposure(scene: Scene) -> Iterator[Wait]:
    if scene.facts.following_up and scene.kind is not Kind.PROBATION:
        yield Wait("units of this step are still followed up", "exposure")


def _budget(scene: Scene) -> Iterator[Wait]:
    if told := over_budget(scene):
        yield Wait(told, "harmBudget")


def _signatures(scene: Scene) -> Iterator[Wait]:
    if scene.kind is Kind.APPROVAL:
        wanted, signed = getattr(scene.step.stage, "count", 0), len(scene.state.signed)
        if signed < wanted:
            yield Wait(f"{signed} of {wanted} signatures", "people")


GATES = (_age, _floors, _exposure, _proof, _budget, _signatures, _freeze)
"""All must be open before a step is left; each tells what it waits for."""


def _unproven(scene: Scene, arm: str) -> Iterator[Wait]:
    """Required metrics that are not safe. What was not judged at all has no data."""
    for name in scene.required():
        found = scene.verdicts(arm, [name])
        if not any(not v.slice for v in found):
            yield Wait(f"{arm}: {name}: {Verdict.NO_DATA}", name)
        for v in found:
            # A protected slice joins for harm; that it is safe, nobody can wait for.
            is_open = is_harm(v) if v.slice else not lets_pass(v, scene.spec)
            if is_open:
                yield Wait(f"{about(v)}: {v.verdict}", name)
