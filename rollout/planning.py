"""How long a spec will take on traffic as it was recorded: S11 for each step. Pure.

A plan is a guess about traffic to come. What it says of errors is no guess: a version whose
guardrails all keep their margins is declared harmful with probability alpha at most, however long
it takes, because that holds at every look.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from evidence.decision import split_alpha
from evidence.planning import detectable
from rollout.courses import Course, Kind, Step, course
from rollout.epochs import Figure
from rollout.metrics import QUANTILES, stat_of
from rollout.needs import Need, Seen, need
from rollout.rules.places import required
from rollout.spec import Least, Metric, Spec
from streams.models import DAY_MS, duration_ms


class Proof(Struct, frozen=True, kw_only=True):
    """One metric at one step, for a challenger that equals the champion.

    Args:
        days, ninety_days: until it is proven safe, in half of the runs and in nine of ten, with
            the age that its outcomes need.
        units: for `days`; pairs in shadow.
        labels: that people give for them.
        detectable: how far beyond its limit a version is called harmful half of the time by then.
        assuming: what the figures rest on.
    """

    step: str
    metric: str
    units: int
    days: float
    ninety_days: float
    labels: int
    detectable: float
    assuming: str


class StepPlan(Struct, frozen=True, kw_only=True):
    """One step: `waits_for` is what it takes longest for. `fits`: before the stage's deadline."""

    step: str
    weight: float
    days: float
    ninety_days: float
    waits_for: str
    deadline_days: float | None
    fits: bool


class Plan(Struct, frozen=True, kw_only=True):
    """The way to full weight of a version that is as good as the champion.

    Args:
        requests_a_day: recorded; units are taken to be requests.
        days, ninety_days: sums over the steps, in each of which the slowest metric counts.
        labels: that people give on the way.
        false_rollback: the most that the probability of harm declared of an equal version can be.
        unknown: metrics of which the recorded traffic and the spec say too little.
    """

    rollout: str
    requests_a_day: float
    days: float
    ninety_days: float
    labels: int
    false_rollback: float
    steps: tuple[StepPlan, ...]
    proofs: tuple[Proof, ...]
    unknown: tuple[str, ...]


def plan(
    rollout: str,
    spec: Spec,
    *,
    requests_a_day: float,
    figures: Mapping[str, Figure],
    disagree: float | None,
) -> Plan:
    """The plan of a spec without errors.

    Args:
        requests_a_day: above 0.
        figures: what recorded traffic shows of the champion, by metric.
        disagree: share of recorded pairs in which the versions differ.
    """
    steps = course(spec)
    proofs: list[Proof] = []
    asked: set[str] = set()
    unknown: list[str] = []
    for step in steps:
        # What is proven at one step stays so: the epochs of a rollout are one account.
        for name in [n for n in required(spec, step.kind.value, step.stage) if n not in asked]:
            metric = spec.by_name[name]
            seen = Seen(rate=_rate(metric, figures.get(name)), disagree=disagree)
            found = need(spec, metric, weight=step.weight, seen=seen)
            asked.add(name)
            if found is None:
                unknown.append(name)
            else:
                proofs.append(_proof(spec, step, metric, found, requests_a_day))
    planned = tuple(
        _step(step, [p for p in proofs if p.step == step.name], requests_a_day) for step in steps
    )
    planned = tuple(_held(steps, planned, k) for k in range(len(steps)))
    return Plan(
        rollout=rollout,
        requests_a_day=requests_a_day,
        days=sum(step.days for step in planned),
        ninety_days=sum(step.ninety_days for step in planned),
        labels=sum(proof.labels for proof in proofs),
        false_rollback=spec.judge.alpha,
        steps=planned,
        proofs=tuple(proofs),
        unknown=tuple(unknown),
    )


def _rate(metric: Metric, figure: Figure | None) -> float | None:
    is_rate = stat_of(metric) not in QUANTILES
    return figure.mean if figure is not None and is_rate else None


def _proof(spec: Spec, step: Step, metric: Metric, found: Need, requests_a_day: float) -> Proof:
    age_days = _days(metric.matures) + _days(metric.exposure)
    compared = requests_a_day * _compared(spec, step)
    days = found.units / compared
    harm = split_alpha(
        guardrails=len(spec.guardrails), alpha=spec.judge.alpha, challengers=len(spec.challengers)
    ).harm
    return Proof(
        step=step.name,
        metric=metric.name,
        units=found.units,
        days=days + age_days,
        ninety_days=found.ninety / compared + age_days,
        labels=found.labels,
        detectable=detectable(found.units, found.sd, alpha=harm),
        assuming=found.assuming,
    )


def _step(step: Step, proofs: list[Proof], requests_a_day: float) -> StepPlan:
    waits = {f"{proof.metric} is safe": (proof.days, proof.ninety_days) for proof in proofs}
    for name, days in _floors(step, requests_a_day).items():
        waits[name] = (days, days)
    slowest = max(waits, key=lambda name: waits[name], default="nothing")
    days, ninety = waits.get(slowest, (0.0, 0.0))
    deadline = getattr(step.stage, "deadline", None)
    return StepPlan(
        step=step.name,
        weight=step.weight,
        days=days,
        ninety_days=max([ninety, *(each for _, each in waits.values())]),
        waits_for="people" if step.kind is Kind.APPROVAL else slowest,
        deadline_days=_days(deadline) if deadline else None,
        fits=True,
    )


def _held(steps: Course, planned: tuple[StepPlan, ...], k: int) -> StepPlan:
    """Whether nine of ten runs are within the deadline, which is of all its stage's steps."""
    stage, deadline = steps[k].stage, planned[k].deadline_days
    taken = sum(
        one.ninety_days for one, step in zip(planned, steps, strict=True) if step.stage is stage
    )
    return replace(planned[k], fits=deadline is None or taken <= deadline)


def _floors(step: Step, requests_a_day: float) -> dict[str, float]:
    """What a step takes at least: dwell, age, probation, and counts at the recorded pace."""
    least = getattr(step.stage, "least", Least())
    found = {
        "dwell": _days(getattr(step.stage, "dwell", None)),
        "min.age": _days(least.age),
        "probation": _days(getattr(step.stage, "probation", None)),
        "min.pairs": (least.pairs or 0) / requests_a_day,
        "min.units": (least.units or 0) / (requests_a_day * (step.weight / 100 or 1.0)),
    }
    return {name: days for name, days in found.items() if days}


def _compared(spec: Spec, step: Step) -> float:
    """The share of the requests that one challenger is compared on: its own and the champion's."""
    share = step.weight / 100
    return 1 - share * (len(spec.challengers) - 1) if share else 1.0


def _days(text: str | None) -> float:
    return duration_ms(text) / DAY_MS if text else 0.0
