"""What guardrails and required metrics can contradict: they must be able to prove what is asked."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from evidence.forms import Form
from rollout.metrics import form_of, loss_of, stat_of
from rollout.needs import guardrail_of, need
from rollout.rules.faults import Fault, at, ms, twice, warning
from rollout.rules.places import deciding, placed, required, weights
from rollout.spec import Metric, Spec
from streams.models import DAY_MS
from streams.yamls import Path, nearest

MANY_LABELS = 5_000
Sound = Mapping[str, Metric]
"""The metrics that lint has nothing against, by name; only those have a form of evidence."""


def named(spec: Spec, _: Sound) -> Iterator[Fault]:
    """Every name of a metric names one."""
    known = [metric.name for metric in spec.metrics]
    for path, name in _mentions(spec):
        if name not in known:
            yield Fault(path, f"there is no metric {name!r}", nearest(name, known))
    for path, wanted in _lists(spec):
        for name in twice(wanted):
            yield Fault(path, f"{name!r} stands twice")


def _lists(spec: Spec) -> Iterator[tuple[Path, Sequence[str]]]:
    yield at("guardrails"), spec.guardrails
    for path, _, stage in placed(spec):
        if isinstance(getattr(stage, "require", None), tuple):
            yield (*path, "require"), stage.require


def _mentions(spec: Spec) -> Iterator[tuple[Path, str]]:
    for path, wanted in _lists(spec):
        yield from (((*path, k), name) for k, name in enumerate(wanted))
    for path, kind, stage in placed(spec):
        if kind == "ab":
            yield (*path, "goal"), stage.goal
    if spec.harm_budget is not None:
        yield at("harmBudget", "metric"), spec.harm_budget.metric


def guardrails(spec: Spec, sound: Sound) -> Iterator[Fault]:
    """A guardrail can prove harm by comparison; and some guardrail is quick to do so."""
    for k, name in enumerate(spec.guardrails):
        metric = sound.get(name)
        if metric is None:
            continue
        if metric.margin is None:
            why = (
                "drift is no proof of harm: it holds, and never rolls back"
                if metric.source == "drift"
                else "under a fixed ceiling a busy day rolls back a version equal to the champion"
            )
            yield Fault(at("guardrails", k), f"{name!r} has no margin: {why}", _instead(metric))
        elif not guardrail_of(spec, metric).rolls_back:
            yield Fault(
                at("guardrails", k), f"{name!r} is {form_of(metric)}: it proves nothing exactly",
                f"give {name} a cap: the mean of capped values is exact",
            )  # fmt: skip
    quick = [m for m in map(sound.get, spec.guardrails) if m and m.source == "prediction"]
    if not quick and weights(spec):
        yield warning(
            at("guardrails"), "no guardrail is from predictions: harm shows when labels mature",
            "add one of: errors, missing, latency",
        )  # fmt: skip
    needed = {name for _, kind, stage in placed(spec) for name in required(spec, kind, stage)}
    for k, name in enumerate(spec.guardrails):
        if name in sound and name not in needed and weights(spec):
            yield warning(
                at("guardrails", k), f"no stage requires {name!r} to be safe: it may reach full"
                " weight undecided", "add it to a stage's require, or write require: guardrails",
            )  # fmt: skip


def _instead(metric: Metric) -> str:
    if metric.source in ("pair", "drift"):
        return "require it in a stage instead"
    return "margin: {relative: ...} compares with the champion on the same day"


def gates(spec: Spec, sound: Sound) -> Iterator[Fault]:
    """What holds a stage must be able to let it go on: exactly, in this stage, and in time."""
    standing: set[str] = set()
    for path, kind, stage in placed(spec):
        names = required(spec, kind, stage)
        wanted = [sound[name] for name in names if name in sound]
        place = (*path, "goal" if kind == "ab" else "require")
        is_whole = len(wanted) == len(names) > 0
        if is_whole and not any(guardrail_of(spec, m).gates for m in wanted):
            forms = " and ".join(sorted({form_of(m).value for m in wanted}))
            yield Fault(
                place, f"{forms} may not be the only gate: nothing here is proven exactly",
                "require a metric with a margin too",
            )  # fmt: skip
        for metric in wanted:
            if kind == "shadow":
                yield from _in_shadow(place, metric)
            if metric.name not in standing:
                yield from _in_time(place, stage.deadline, metric)
        # Pairs go on through all stages, so what shadow has proven stands when canary begins.
        standing |= {m.name for m in wanted if m.paired}


def _in_shadow(place: Path, metric: Metric) -> Iterator[Fault]:
    alone = metric.source in ("label", "audit") and not metric.paired
    if alone or metric.source == "feedback":
        yield Fault(
            place, f"{metric.name!r} compares two groups of units, and in shadow there is one",
            "paired: true, or require it in canary" if alone else "require it in canary or ab",
        )  # fmt: skip
    if loss_of(metric) == "missing":
        yield Fault(place, "'missing' counts assigned requests, and shadow assigns none", "errors")


def _in_time(place: Path, deadline: str, metric: Metric) -> Iterator[Fault]:
    if _wait_ms(metric) >= ms(deadline):
        yield Fault(
            place, f"{metric.name!r} is known after {_wait(metric)}, the deadline is {deadline}",
            f"a deadline well above {_wait(metric)}, or require it in a later stage",
        )  # fmt: skip


def _wait_ms(metric: Metric) -> int:
    """From a unit's enrolment until its value is known."""
    return ms(metric.exposure) + ms(metric.matures)


def _wait(metric: Metric) -> str:
    return " + ".join(text for text in (metric.exposure, metric.matures) if text)


def ends(spec: Spec, sound: Sound) -> Iterator[Fault]:
    """After full weight, late evidence can still bring the champion back."""
    for path, kind, stage in placed(spec):
        if kind != "full":
            continue
        late = [m for m in map(sound.get, spec.guardrails) if m is not None]
        slowest = max(late, key=_wait_ms, default=None)
        if slowest and ms(stage.probation) < _wait_ms(slowest):
            yield warning(
                (*path, "probation"), f"ends before {slowest.name!r} of the last units is known",
                f"at least {_wait(slowest)}",
            )  # fmt: skip
        if not stage.keep_warm:
            yield warning(
                (*path, "keepWarm"), "a rollback in probation waits until the champion has started"
            )


def budget(spec: Spec, sound: Sound) -> Iterator[Fault]:
    """Extra bad outcomes are a difference of rates times the units exposed."""
    wanted = spec.harm_budget
    metric = None if wanted is None else sound.get(wanted.metric)
    if metric is None:
        return
    countable = form_of(metric) in (Form.DIFFERENCE, Form.PAIRED_DIFFERENCE)
    if not countable or stat_of(metric) != "rate" or metric.better == "higher":
        yield Fault(
            at("harmBudget", "metric"),
            f"{metric.name!r} ({form_of(metric)}) does not count extra bad outcomes",
            "a metric with stat: rate and margin: {absolute: ...}",
        )


def costs(spec: Spec, sound: Sound) -> Iterator[Fault]:
    """Labels are what people are paid for: more than they can give is a margin set too tight."""
    for k, metric in enumerate(spec.metrics):
        if metric.source != "audit" or sound.get(metric.name) is not metric:
            continue
        place = (*at("metrics", k), "margin")
        wanted = need(spec, metric, weight=deciding(spec, metric.name)[1])
        if wanted is not None and wanted.labels > MANY_LABELS:
            paired = need(spec, msgspec.structs.replace(metric, paired=True), weight=0.0)
            fewer = "" if metric.paired or paired is None else f"; paired about {paired.labels:,}"
            yield warning(
                place, f"about {wanted.labels:,} labels until an equal version is called safe"
                f" (if {wanted.assuming}){fewer}",
                "a margin of 2 or 3 points" if metric.paired else "paired: true",
            )  # fmt: skip
        yield from _late_labels(spec, metric, place, 0 if wanted is None else wanted.labels)


def _late_labels(spec: Spec, metric: Metric, place: Path, labels: int) -> Iterator[Fault]:
    """`labels` in the time of the stage that wants them first are more than people are to give."""
    asking = [
        (kind, ms(stage.deadline))
        for _, kind, stage in placed(spec)
        if metric.name in required(spec, kind, stage)
    ]
    if spec.audits is None or spec.audits.daily_budget is None or not asking:
        return
    kind, deadline_ms = asking[0]
    most = spec.audits.daily_budget * deadline_ms / DAY_MS
    if labels > most:
        yield warning(
            place, f"about {labels:,} labels, and {kind} has time for {most:,.0f}:"
            f" {spec.audits.daily_budget} a day until its deadline",
            "a wider margin, a larger dailyBudget or a later deadline",
        )  # fmt: skip


RULES: tuple[Callable[[Spec, Sound], Iterator[Fault]], ...] = (
    named, guardrails, gates, ends, budget, costs,
)  # fmt: skip
