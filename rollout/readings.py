"""What each metric of a spec becomes: its form of evidence, what it decides, what it costs."""

from msgspec import Struct

from rollout.metrics import form_of, loss_of, stat_of
from rollout.needs import guardrail_of, need
from rollout.rules.places import deciding, placed, required
from rollout.spec import Metric, Spec


class Reading(Struct, frozen=True, kw_only=True):
    """One metric.

    Args:
        counts: what is summed up, per what.
        form: the row of the table of spec forms.
        limit: what a challenger must keep to.
        decides: what its verdicts may do.
        exact: whether its error rates hold exactly, under a look after every event.
        at: where it decides first, and the numbers below are for.
        units: until an equal version is called safe, in half of the runs; pairs in shadow.
        ninety: the same, in nine runs of ten.
        labels: that people give for `units`.
        assuming: what was not known.
    """

    metric: str
    counts: str
    form: str
    limit: str
    decides: str
    exact: bool
    at: str
    units: int | None = None
    ninety: int | None = None
    labels: int | None = None
    assuming: str = ""


def readings(spec: Spec) -> tuple[Reading, ...]:
    """One reading for each metric of a spec without errors, in its order."""
    return tuple(_reading(spec, metric) for metric in spec.metrics)


def _reading(spec: Spec, metric: Metric) -> Reading:
    kind, weight = deciding(spec, metric.name)
    wanted = need(spec, metric, weight=weight)
    guardrail = guardrail_of(spec, metric)
    return Reading(
        metric=metric.name,
        counts=_counts(spec, metric),
        form=form_of(metric).value,
        limit=_limit(metric),
        decides=_decides(spec, metric, rolls_back=guardrail.rolls_back),
        exact=guardrail.statistic is not None,
        at=f"{kind} {weight:g} %" if weight else kind,
        units=None if wanted is None else wanted.units,
        ninety=None if wanted is None else wanted.ninety,
        labels=None if wanted is None or metric.source != "audit" else wanted.labels,
        assuming="" if wanted is None else wanted.assuming,
    )


def _counts(spec: Spec, metric: Metric) -> str:
    stat, loss = stat_of(metric), loss_of(metric)
    text = "greatest drift score" if stat is None else f"{stat} of {loss}"
    if metric.cap is not None:
        text += f", capped at {metric.cap:g}"
    if metric.paired or metric.source == "pair":
        sticky = spec.assignment.sticky
        text += f" of one pair per {spec.assignment.unit}" if sticky else " per pair"
    elif metric.source != "drift":
        text += f" per {spec.assignment.unit}"
    if metric.exposure is not None:
        text += f" within {metric.exposure}"
    return text if metric.matures is None else f"{text}, labels by {metric.matures}"


def _limit(metric: Metric) -> str:
    margin = metric.margin
    if margin is None:
        return f"at most {metric.ceiling:g}"
    least, sign = ("at least", "-") if metric.better == "higher" else ("at most", "+")
    if margin.absolute is not None:
        return f"{least} champion {sign} {margin.absolute:g}"
    return f"{least} champion {sign} {100 * (margin.relative or 0.0):g} %"


def _decides(spec: Spec, metric: Metric, *, rolls_back: bool) -> str:
    found = ["rolls back"] if rolls_back and metric.name in spec.guardrails else []
    gates = [kind for _, kind, stage in placed(spec) if metric.name in required(spec, kind, stage)]
    if gates:
        found.append(f"holds {', '.join(gates)}")
    return "; ".join(found) or "shown"
