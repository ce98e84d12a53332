"""What a plan warns of, for a version as good as the champion, and what would help. Pure."""

import math
from collections.abc import Iterator, Sequence

from msgspec import Struct

from rollout.courses import Course, Kind, Step
from rollout.endings import Ended, Passed
from rollout.needs import Seen, need
from rollout.rates import Rates
from rollout.spec import Metric, Spec
from rollout.stages import Signal
from streams.models import DAY_MS, MINUTE_MS, duration_ms

OFTEN = 0.1
"""Of the futures, from when on a plan warns."""
_SOME_MORE = 1.5  # times, where the formula alone says that there is enough
_SELDOM = 0.01  # that a step goes blind, with what is advised


_GATES = {
    "freeze": "a deadline beyond the freeze and what comes before it, or a start on another day",
    "exposure": "a deadline longer than the longest exposure, twice",
    "harmBudget": "a larger harmBudget: of so many requests its estimate is far from exact",
}


class Warned(Struct, frozen=True, kw_only=True):
    """What goes wrong at a step although nothing is wrong, how often, and what would help."""

    step: str
    chance: float
    reason: str
    fix: str


def warnings(
    spec: Spec, steps: Course, rates: Rates, equal: Sequence[Ended], requests_a_day: float
) -> Iterator[Warned]:
    """What often keeps an equal version from its promotion; each step where that happens."""
    for step in steps:
        reached = [end for end in equal if any(each.step == step.name for each in end.steps)]
        stopped = [end for end in reached if end.steps[-1].step == step.name]
        late = [end.steps[-1] for end in stopped if end.signal is Signal.DEADLINE]
        blind = sum(end.signal is Signal.BLIND for end in stopped) / len(equal)
        if len(late) >= OFTEN * len(equal):
            yield _late(spec, step, rates, requests_a_day, len(late) / len(equal), late)
        if blind >= OFTEN:
            yield _blind(spec, step, rates, requests_a_day, blind)


def _blind(spec: Spec, step: Step, rates: Rates, requests_a_day: float, chance: float) -> Warned:
    """Every gap between two answers may be the one that is too long."""
    pace = requests_a_day * _share(spec, step, rates) / DAY_MS
    silent_ms = duration_ms(spec.blind_after)
    enough_ms = max(0.0, math.log(max(pace * step.deadline_ms / _SELDOM, 1.0))) / pace
    return Warned(
        step=step.name,
        chance=chance,
        reason=(
            f"challengers give {pace * silent_ms:.2g} answers in {spec.blind_after} (blindAfter),"
            " so now and then none: that goes back to the champion"
        ),
        fix=f"blindAfter: {math.ceil(enough_ms / MINUTE_MS)}m, or more weight",
    )


def _late(
    spec: Spec, step: Step, rates: Rates, requests_a_day: float, chance: float,
    stuck: Sequence[Passed],
) -> Warned:  # fmt: skip
    gate = _most(stuck)
    metric = spec.by_name.get(gate)
    return Warned(
        step=step.name,
        chance=chance,
        reason=(
            f"its deadline of {step.deadline} comes first: {gate} is"
            f" {'not proven safe' if metric else 'open'} by then"
        ),
        fix=(
            _more(spec, step, metric, rates, requests_a_day)
            if metric is not None
            else _GATES.get(gate, f"a longer deadline, more weight, or a smaller {gate}")
        ),
    )


def _most(stuck: Sequence[Passed]) -> str:
    """The gate that most of them wait for."""
    gates = [gate for each in stuck for gate in each.gates]
    return max(dict.fromkeys(gates), key=gates.count, default="")


def _more(spec: Spec, step: Step, metric: Metric, rates: Rates, requests_a_day: float) -> str:
    """How much more it takes by S11: units grow as the square of what the margin shrinks by."""
    seen = Seen(rate=rates.of(metric.name).mean, disagree=rates.disagree)
    wanted = need(spec, metric, weight=step.weight, seen=seen)
    age_ms = sum(duration_ms(text) for text in (metric.exposure, metric.matures) if text)
    left_days = (step.deadline_ms - age_ms) / DAY_MS
    if left_days <= 0:
        return f"a deadline beyond the {age_ms / DAY_MS:g} d that its outcomes take to count"
    if wanted is None:
        return "a longer deadline, a larger margin or more weight"
    compared = requests_a_day * left_days
    factor = max(_SOME_MORE, wanted.ninety / compared)
    ways = [f"a deadline of {math.ceil(factor * left_days + age_ms / DAY_MS)}d"]
    if metric.margin is not None:
        margin = metric.margin.absolute or metric.margin.relative or 0.0
        ways.append(f"a margin of {margin * math.sqrt(factor):.2g} instead of {margin:g}")
    if step.kind in (Kind.CANARY, Kind.AB, Kind.SUPERVISED) and not metric.paired:
        ways.append(f"{factor:.2g} times the weight")
    return ", or ".join(ways)


def _share(spec: Spec, step: Step, rates: Rates) -> float:
    scope = 1.0 if step.scope is None or rates.scope is None else rates.scope
    return scope * min(1.0, len(spec.challengers) * step.weight / 100)
