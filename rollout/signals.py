"""What a rollout is due for: from where it stands and what is known, the one signal and its cause.

Nothing here reads a clock or a store, and nothing moves: `rollout.acting` does, and people act
there directly, without waiting for this. So a person's rollback is before everything here.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from evidence.decision import Verdict
from rollout.courses import LIVE, Kind, weight
from rollout.decisions import Cause, Evidence, Judged, Time
from rollout.gates import waits
from rollout.scenes import Scene, about, is_harm
from rollout.spec import Full
from rollout.stages import Signal, accepts, advance
from streams.models import duration_ms

_WATCHED = LIVE | {Kind.PAUSED}


class Call(Struct, frozen=True, kw_only=True):
    """This is due, because of `cause`; `arm` is the challenger that goes, of a drop."""

    signal: Signal
    cause: Cause
    arm: str | None = None


def due(scene: Scene) -> Call | None:
    """The first signal of `ORDER` that holds and means something where the rollout stands."""
    for rule in ORDER:
        call = rule(scene)
        if call is not None and accepts(scene.state.place, call.signal):
            return call
    return None


def grows(scene: Scene) -> bool:
    """Whether an advance is due, and gives a challenger more units than it has."""
    call = due(scene)
    if call is None or call.signal is not Signal.ADVANCE:
        return False
    place, course = scene.state.place, scene.course
    return weight(course, advance(course, place, call.signal)) > weight(course, place) > 0


def _restored(scene: Scene) -> Call | None:
    if scene.kind is not Kind.ROLLING_BACK or not scene.facts.restored:
        return None
    told = ("no service can give a request to a challenger any more",)
    return Call(signal=Signal.RESTORED, cause=Time(due_ms=scene.now_ms, reasons=told))


def _harm(scene: Scene) -> Call | None:
    """Proven harm of a guardrail; of one challenger among several, that one goes alone."""
    if scene.kind not in _WATCHED:
        return None
    harmed = {
        arm: found
        for arm in scene.left
        if (found := [v for v in scene.verdicts(arm, scene.spec.guardrails) if is_harm(v)])
    }
    over = _over_budget(scene)
    may_drop = accepts(scene.state.place, Signal.DROP) and len(harmed) < len(scene.left)
    if over or (harmed and not may_drop):
        told = [*over, *(_harm_words(v) for found in harmed.values() for v in found)]
        return Call(signal=Signal.HARM, cause=_evidence(scene, told))
    if harmed:
        arm, found = next(iter(harmed.items()))
        cause = _evidence(scene, [_harm_words(v) for v in found])
        return Call(signal=Signal.DROP, cause=cause, arm=arm)
    return None


def _blind(scene: Scene) -> Call | None:
    if scene.kind not in _WATCHED or not weight(scene.course, scene.state.place):
        return None
    last_ms = max(scene.state.since_ms, scene.facts.fresh_ms or 0)
    due_ms = last_ms + duration_ms(scene.spec.blind_after)
    if scene.now_ms < due_ms:
        return None
    told = f"challengers answer, and no evidence came for {scene.spec.blind_after}"
    return Call(signal=Signal.BLIND, cause=Time(due_ms=due_ms, reasons=(told,)))


def _invalid(scene: Scene) -> Call | None:
    if scene.kind not in LIVE:
        return None
    names = {*scene.spec.guardrails, *scene.required()}
    told = [
        *scene.facts.broken,
        *(
            f"{about(v)}: {', '.join(v.reasons) or 'invalid'}"
            for arm in scene.left
            for v in scene.verdicts(arm, names)
            if v.verdict is Verdict.INVALID
        ),
    ]
    return Call(signal=Signal.INVALID, cause=_evidence(scene, told)) if told else None


def _deadline(scene: Scene) -> Call | None:
    """Also while it is paused: a pause that nobody ends must not keep a challenger's traffic."""
    if scene.kind not in _WATCHED:
        return None
    due_ms = scene.state.due_from_ms + scene.step.deadline_ms
    stays_paused = scene.kind is Kind.PAUSED and scene.step.on_deadline == "pause"
    if scene.now_ms < due_ms or stays_paused:
        return None
    waiting = waits(scene)
    if isinstance(scene.step.stage, Full) and all(wait.until_ms is not None for wait in waiting):
        return None  # nothing speaks against it: it ends well, perhaps after a freeze
    told = f"the deadline of {scene.step.kind} is over: {scene.step.deadline}"
    cause = Time(due_ms=due_ms, reasons=(told, *(wait.reason for wait in waiting)))
    return Call(signal=Signal.DEADLINE, cause=cause)


def _finish(scene: Scene) -> Call | None:
    if scene.kind is not Kind.PROBATION or waits(scene):
        return None
    assert isinstance(scene.step.stage, Full)
    due_ms = scene.state.since_ms + duration_ms(scene.step.stage.probation)
    told = f"{scene.step.stage.probation} of probation without proven harm"
    return Call(signal=Signal.FINISH, cause=Time(due_ms=due_ms, reasons=(told,)))


def _advance(scene: Scene) -> Call | None:
    """All gates are open. Full weight is for one: before it, all but the best challenger go."""
    if scene.kind not in LIVE or scene.kind is Kind.PROBATION or waits(scene):
        return None
    if scene.kind is Kind.APPROVAL:
        told = [f"signed by {person.name}: {person.reason}" for person in scene.state.signed]
    else:
        told = [f"safe: {', '.join(scene.required())}"] if scene.required() else ["floors are met"]
    following = scene.state.place.step + 1
    is_last = following < len(scene.course) and scene.course[following].kind is Kind.PROBATION
    if is_last and len(scene.left) > 1:
        worst = max(scene.left, key=lambda arm: _rank(scene, arm))
        cause = _evidence(scene, [*told, f"{worst} is behind the others"])
        return Call(signal=Signal.DROP, cause=cause, arm=worst)
    return Call(signal=Signal.ADVANCE, cause=_evidence(scene, told))


ORDER: tuple[Callable[[Scene], Call | None], ...] = (
    _restored,  # only of one that goes back already: nothing else is due for it
    _harm,  # proven harm stands, whatever else is in doubt: on broken data, in a pause, a freeze
    _blind,  # what cannot be seen cannot be shown to be harmless
    _invalid,  # before the deadline: who looks at a pause learns more than from a rollback
    _deadline,  # before an advance: evidence that comes too late proves nothing about its time
    _finish,
    _advance,  # last: everything that speaks against it was asked
)
"""Who outranks whom. A person's own signal is acted on at once, and so is before all of these."""


def _over_budget(scene: Scene) -> list[str]:
    budget, least = scene.spec.harm_budget, scene.facts.extra_least
    if budget is None or least is None or least <= budget.extra:
        return []
    return [f"at least {least:,.0f} extra bad outcomes, of {budget.extra:g} at most"]


def _rank(scene: Scene, arm: str) -> tuple[float, int]:
    """Greater is worse: by the estimate of what was required last, then by the spec's order."""
    last = scene.left.index(arm)
    for name in reversed((*scene.spec.guardrails, *scene.required())):
        for v in scene.verdicts(arm, [name]):
            if not v.slice and v.estimate is not None:
                is_lower = scene.spec.by_name[name].better == "lower"
                return (v.estimate if is_lower else -v.estimate), last
    return float("inf"), last


def _harm_words(judged: Judged) -> str:
    return f"{about(judged)}: proven worse than its margin allows"


def _evidence(scene: Scene, told: Iterable[str]) -> Evidence:
    return Evidence(verdicts=scene.facts.verdicts, reasons=tuple(told))
