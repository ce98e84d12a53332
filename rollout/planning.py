"""What may become of a spec: simulated futures, summed up by scenario and step. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from msgspec import Struct

from rollout.advice import Warned, warnings
from rollout.basis import Basis, basis
from rollout.courses import course
from rollout.drawing import World
from rollout.endings import Ended, Outcome, Passed
from rollout.futures import future
from rollout.rates import Rates, joined
from rollout.scenarios import Scenario, Shift, scenarios
from rollout.spec import Rollout
from rollout.stages import Signal
from streams.models import DAY_MS, Declaration

FUTURES = 100
"""Of each scenario: a chance of one half is known to 10 points (two standard errors)."""


_SHOWN = (10, 50, 90)  # per cent of the futures


class Fate(Struct, frozen=True, kw_only=True):
    """What becomes of the rollout in one scenario; chances are shares of its futures.

    Args:
        promoted, rolled_back, paused: one of them. Of a course without full weight, `promoted` says
            that it comes to its end.
        harm: rolled back because harm was proven.
        deadline: found open by a deadline, which goes back or pauses as the spec says.
        blind: rolled back because no evidence came for `blindAfter`.
        days: from its start to its end.
        labels: expected, that people give.
        extra: expected bad outcomes more than the champion's, by metric.
    """

    scenario: str
    promoted: float
    rolled_back: float
    paused: float
    harm: float
    deadline: float
    blind: float
    days: float
    days_10: float
    days_90: float
    labels: int
    extra: dict[str, float]


class StepPlan(Struct, frozen=True, kw_only=True):
    """One step in one scenario.

    Args:
        weight: per cent of the units in scope that each challenger answers.
        reached: share of the futures that come to it; `advanced`: of those, that go on from it.
        days, days_10, days_90: of those that go on: median, one of ten, nine of ten.
        waits_for: the gate that opens last most often.
    """

    scenario: str
    step: str
    weight: float
    reached: float
    advanced: float
    days: float | None
    days_10: float | None
    days_90: float | None
    deadline_days: float
    waits_for: str


class Plan(Struct, frozen=True, kw_only=True):
    """The futures of a spec.

    Args:
        from_ms: when the rollout starts in them, domain time: freezes depend on it.
        futures: of each scenario.
        false_rollback: the most that the probability of harm declared can be while every guardrail
            keeps its margin; that is no simulation's to say.
        basis: what traffic is taken to be like.
    """

    rollout: str
    requests_a_day: float
    from_ms: int
    futures: int
    seed: int
    false_rollback: float
    fates: tuple[Fate, ...]
    steps: tuple[StepPlan, ...]
    warnings: tuple[Warned, ...]
    basis: tuple[Basis, ...]


class Ask(Struct, frozen=True, kw_only=True):
    """What futures are to be simulated of.

    Args:
        effects: an operator's own scenario, by metric; none: there is none.
        lateness_ms: how far watermarks lag behind.
    """

    declared: Rollout
    declaration: Declaration
    stated: Rates = Rates()
    recorded: Rates = Rates()
    requests_a_day: float
    from_ms: int
    lateness_ms: int
    effects: dict[str, Shift] = {}
    futures: int = FUTURES
    seed: int = 0


def plan(ask: Ask, *, tell: Callable[[float], None]) -> Plan:
    """The plan of a spec without errors; the same for the same `ask`.

    Args:
        tell: is given the share that is done.
    """
    spec, steps = ask.declared.spec, course(ask.declared.spec)
    rates = joined(ask.stated, ask.recorded)
    wanted = scenarios(spec, rates, ask.effects)
    found: list[tuple[World, list[Ended]]] = []
    for done, scenario in enumerate(wanted):
        world = World(
            spec, ask.declaration, steps, rates, scenario,
            requests_a_day=ask.requests_a_day, lateness_ms=ask.lateness_ms,
        )  # fmt: skip
        ends = []
        for no, end in enumerate(simulated(world, ask)):
            ends.append(end)
            tell((done + (no + 1) / ask.futures) / len(wanted))
        found.append((world, ends))
    planned = [step for world, ends in found for step in _steps(world, ends)]
    fates = [_fate(world.scenario, ends) for world, ends in found]
    return Plan(
        rollout=ask.declared.metadata.name,
        requests_a_day=ask.requests_a_day,
        from_ms=ask.from_ms,
        futures=ask.futures,
        seed=ask.seed,
        false_rollback=spec.judge.alpha,
        fates=tuple(fates),
        steps=tuple(planned),
        warnings=tuple(warnings(spec, steps, rates, found[0][1], ask.requests_a_day)),
        basis=tuple(basis(spec, stated=ask.stated, recorded=ask.recorded)),
    )


def simulated(world: World, ask: Ask) -> Iterable[Ended]:
    """The futures of one scenario; those of all scenarios have the same luck."""
    for seed in np.random.SeedSequence(ask.seed).spawn(ask.futures):
        yield future(world, from_ms=ask.from_ms, seed=seed)


def _fate(scenario: Scenario, ends: Sequence[Ended]) -> Fate:
    outcomes: Counter[Outcome] = Counter(end.outcome for end in ends)
    signals = Counter(end.signal for end in ends)
    count = len(ends)
    tenth, median, ninetieth = np.percentile([end.days for end in ends], _SHOWN).round(3).tolist()
    return Fate(
        scenario=scenario.name,
        promoted=outcomes["promoted"] / count,
        rolled_back=outcomes["rolled back"] / count,
        paused=outcomes["paused"] / count,
        harm=signals[Signal.HARM] / count,
        deadline=signals[Signal.DEADLINE] / count,
        blind=signals[Signal.BLIND] / count,
        days=median,
        days_10=tenth,
        days_90=ninetieth,
        labels=round(float(np.mean([end.labels for end in ends]))),
        extra={
            name: round(float(np.mean([end.extra[name] for end in ends])), 1)
            for name in ends[0].extra
        },
    )


def _steps(world: World, ends: Sequence[Ended]) -> Iterable[StepPlan]:
    for step in world.course:
        passed = [each for end in ends for each in end.steps if each.step == step.name]
        if not passed:
            continue
        went_on = [each for each in passed if each.advanced]
        tenth, median, ninetieth = _days([each.days for each in went_on])
        yield StepPlan(
            scenario=world.scenario.name,
            step=step.name,
            weight=step.weight,
            reached=len(passed) / len(ends),
            advanced=len(went_on) / len(passed),
            days=median,
            days_10=tenth,
            days_90=ninetieth,
            deadline_days=step.deadline_ms / DAY_MS,
            waits_for=bottleneck(passed),
        )


def bottleneck(passed: Iterable[Passed]) -> str:
    """The gate that opens last most often, or that never does."""
    gates = Counter(gate for each in passed for gate in each.gates)
    return gates.most_common(1)[0][0] if gates else ""


def _days(found: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    if not found:
        return None, None, None
    tenth, median, ninetieth = np.percentile(found, _SHOWN).round(3).tolist()
    return tenth, median, ninetieth
