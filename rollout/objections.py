"""What the evidence says against an advance that a person asks for. Pure.

The evidence alone never advances past these; a person may, naming each, and answers for it.
"""

from collections.abc import Iterator

from msgspec import Struct

from rollout.decisions import Judged
from rollout.scenes import Scene, is_harm, lets_pass, over_budget


class Objection(Struct, frozen=True):
    """A metric that is in the way, and in words why."""

    metric: str
    reason: str


def objections(scene: Scene) -> tuple[Objection, ...]:
    """Guardrails that are proven worse, required metrics that are not proven safe, the budget's."""
    return tuple(dict.fromkeys((*_harmful(scene), *_unproven(scene), *_costly(scene))))


def _harmful(scene: Scene) -> Iterator[Objection]:
    for arm in scene.left:
        for judged in scene.verdicts(arm, scene.spec.guardrails):
            if is_harm(judged):
                yield Objection(judged.metric, _crossed(judged))


def _unproven(scene: Scene) -> Iterator[Objection]:
    for arm in scene.left:
        for name in scene.required():
            found = next((each for each in scene.verdicts(arm, [name]) if not each.slice), None)
            if found is None:
                yield Objection(name, f"{arm}: not yet known, there is no data")
            elif is_harm(found):
                yield Objection(name, _crossed(found))
            elif not lets_pass(found, scene.spec):
                yield Objection(name, f"{arm}: not yet known, {found.verdict}")


def _costly(scene: Scene) -> Iterator[Objection]:
    if scene.spec.harm_budget is not None and (told := over_budget(scene)):
        yield Objection(scene.spec.harm_budget.metric, told)


def _crossed(judged: Judged) -> str:
    where = f" in {judged.slice}" if judged.slice else ""
    if judged.estimate is None or judged.limit is None:
        return f"{judged.arm} crossed its limit{where}"
    return (
        f"{judged.arm} crossed its limit{where} ({judged.estimate:.3g}, limit {judged.limit:.3g})"
    )
