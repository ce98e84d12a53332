"""What a metric of a spec means: which loss it counts, over what, and by which statistic.

| from | counts | as |
|---|---|---|
| prediction | errors, missing | rate |
| prediction | latency | p50, p90, p95, p99, mean |
| pair | disagreement | rate |
| label, audit | wrong, misses, false_alarms | rate |
| label, audit | cost | mean |
| feedback | value | mean, rate (whether there was any) |
| drift | the greatest drift score | only against a ceiling |
"""

from collections.abc import Mapping
from types import MappingProxyType

from evidence.forms import Form
from rollout.spec import Loss, Metric, Source, Stat

QUANTILES: Mapping[Stat, float] = MappingProxyType(
    {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
)
_RATE: tuple[Stat, ...] = ("rate",)
_JUDGED: Mapping[Loss, tuple[Stat, ...]] = {
    "wrong": _RATE, "misses": _RATE, "false_alarms": _RATE, "cost": ("mean",)
}  # fmt: skip
LOSSES: Mapping[Source, Mapping[Loss, tuple[Stat, ...]]] = MappingProxyType(
    {
        "prediction": {"errors": _RATE, "missing": _RATE, "latency": (*QUANTILES, "mean")},
        "pair": {"disagreement": _RATE},
        "label": _JUDGED,
        "audit": _JUDGED,
        "feedback": {"value": ("mean", "rate")},
        "drift": {},
    }
)
"""The losses that each source has, and how each may be summed up."""

_OWN: Mapping[Source, Loss] = {
    "pair": "disagreement", "label": "wrong", "audit": "wrong", "feedback": "value"
}  # fmt: skip


def loss_of(metric: Metric) -> Loss | None:
    """What is counted: what `of` says, else the metric's name, else the source's own loss.

    None of drift, and of a prediction metric that does not say what it counts.
    """
    named = next((loss for loss in LOSSES[metric.source] if loss == metric.name), None)
    return metric.of or named or _OWN.get(metric.source)


def stat_of(metric: Metric) -> Stat | None:
    """How it is summed up: what `stat` says, else the only way there is; None if there are more."""
    if metric.stat is not None:
        return metric.stat
    loss = loss_of(metric)
    known = LOSSES[metric.source].get(loss, ()) if loss is not None else ()
    return known[0] if len(known) == 1 else None


def form_of(metric: Metric, *, rare: bool = True) -> Form:
    """The row of the table of spec forms that a linted metric is.

    Args:
        metric: one that lint has nothing against.
        rare: whether at most one unit in five (`evidence.forms.RARE`) has the event, as far as is
            known when the epoch is frozen; a relative margin on a common event is a ratio.
    """
    is_relative = metric.margin is not None and metric.margin.relative is not None
    if metric.source == "drift":
        return Form.HEURISTIC
    if metric.ceiling is not None:
        return Form.CEILING
    if metric.paired:
        return Form.PAIRED_RATIO if is_relative else Form.PAIRED_DIFFERENCE
    return _between_arms(metric, is_relative=is_relative, rare=rare)


def _between_arms(metric: Metric, *, is_relative: bool, rare: bool) -> Form:
    stat = stat_of(metric)
    if stat in QUANTILES:
        return Form.QUANTILE
    if stat == "mean" and metric.cap is None:
        return Form.ASYMPTOTIC
    if not is_relative:
        return Form.DIFFERENCE
    is_counted = stat == "rate" and metric.source != "audit"  # an audited event stands for many
    return Form.EVENT_SHARE if is_counted and rare else Form.RATIO
