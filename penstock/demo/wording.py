"""Decisions in words, for a terminal. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from evidence.decision import Verdict
from rollout.courses import Kind, Place
from rollout.decisions import Decision, Evidence, Judged, Person
from rollout.spec import Metric
from rollout.stages import Signal
from rollout.store import Standing
from streams.models import HOUR_MS

_SAID = {
    Signal.PLAN: "is planned", Signal.START: "begins", Signal.SIGN: "is signed",
    Signal.ADVANCE: "advances", Signal.HARM: "goes back", Signal.FINISH: "is promoted",
    Signal.RESTORED: "is over: the champion has everything again",
}  # fmt: skip


def clock(domain_ms: int) -> str:
    """A time of the sorting floor."""
    return f"{datetime.fromtimestamp(domain_ms / 1000, UTC):%a %H:%M}"


def decided(standing: Standing, decision: Decision) -> Iterator[str]:
    """What was decided, why, and the numbers that told."""
    where = f"{_place(standing, decision.before)} > {_place(standing, decision.after)}"
    if decision.before == decision.after:
        where = _place(standing, decision.after)
    word = _SAID.get(decision.signal, f"{decision.signal}")
    yield f"{clock(decision.at_ms)}  {standing.name} {word}: {where}"
    yield f"           {_why(decision)}"
    if isinstance(decision.cause, Evidence):
        metrics = standing.declared.spec.by_name
        for judged in decision.cause.verdicts:
            if judged.verdict is not Verdict.NO_DATA:
                yield f"           {measured(judged, metrics[judged.metric])}"


def measured(judged: Judged, metric: Metric) -> str:
    """One verdict: the estimate, where it lies however often one looks, and the limit.

    A difference from the champion's; under a ceiling a share, of a quantile the share beyond it.
    """
    sign = "+" if metric.ceiling is None else ""
    beyond = f" beyond {metric.ceiling:g} ms" if metric.ceiling and metric.stat != "rate" else ""
    share, lower, upper, limit = (
        "?" if each is None else f"{1000 * each:{sign}.1f}"
        for each in (judged.estimate, judged.lower, judged.upper, judged.limit)
    )
    return (
        f"{judged.metric:<13}{judged.verdict:<10}{share:>7} in 1,000{beyond}"
        f" ({lower} to {upper}; limit {limit}), n = {judged.n:,}"
    )


def ended(standing: Standing, *, looks: int, labels: int) -> Iterator[str]:
    """All that was decided about a rollout, a line each, and what it took."""
    first = standing.decisions[0].at_ms
    for decision in standing.decisions:
        hours = (decision.at_ms - first) / HOUR_MS
        yield (
            f"{standing.name} {decision.seq:>3} {hours:>6.1f} h  {decision.signal:<9}"
            f"{_place(standing, decision.before):>13} > {_place(standing, decision.after):<15}"
            f" {_why(decision)}"
        )
    yield (
        f"{standing.name}: {standing.state.place.kind}; {labels:,} labels were used;"
        f" {len(standing.decisions)} decisions are one chain, and the verdicts behind {looks} of"
        " them were computed again"
    )


def last(standing: Standing) -> str:
    """The newest decision and its reason."""
    decision = standing.decisions[-1]
    return f"{decision.signal}, {_why(decision)}"


def where(standing: Standing) -> str:
    """Where a rollout stands, in a few words."""
    return f"{standing.name}: {_place(standing, standing.state.place)}"


def _why(decision: Decision) -> str:
    cause = decision.cause
    if isinstance(cause, Person):
        return f"{cause.name}: {cause.reason}"
    return "; ".join(cause.reasons)


def _place(standing: Standing, place: Place) -> str:
    weighted = place.kind in (Kind.CANARY, Kind.AB, Kind.PROBATION)
    return f"{place.kind} {standing.course[place.step].weight:g} %" if weighted else place.kind
