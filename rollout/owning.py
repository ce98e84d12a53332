"""What an epoch freezes of a metric of sticky units: how their own events become one value.

Events of one unit are not independent, so a unit is counted once: the mean of its own errors,
exceedances, costs or latencies, the sum of its feedback, or whether there was any. A mean or a sum
goes to a frozen level, without bias (`evidence.buckets`).
"""

from typing import Literal

import msgspec

from evidence.forms import Form
from rollout.cells import SETTLES_MS
from rollout.counted import Buckets, Counted, Own
from rollout.metrics import stat_of
from rollout.spec import Metric, Spec
from streams.errors import InputError
from streams.models import duration_ms

LEAST = 1e-4  # of a mean's cap: what is smaller is rounded to it or to 0
_STEPS = 2**20  # a real value is added up in so many whole steps to its cap


def owned(found: Counted, metric: Metric, spec: Spec) -> Counted:
    """`found`, with the levels that an event has, as it is counted for sticky units.

    Raises InputError for what clients count by request and arm alone.
    """
    if found.loss == "missing":
        raise InputError(
            f"{metric.name}: clients count what they assigned by arm, not by "
            f"{spec.assignment.unit}",
            field=f"metrics.{metric.name}",
            fix="of: errors, with a time-out reported as an error",
        )
    top = max(found.levels) if metric.cap is None else metric.cap
    counts = stat_of(metric) != "mean"
    own = Own(
        stat=_stat(found, metric),
        exposure_ms=exposure_ms(metric, spec),
        settles_ms=duration_ms(metric.matures) if metric.matures else SETTLES_MS,
        levels=found.levels if found.loss == "cost" else (0.0, 1.0),
        scale=1.0 if counts else _STEPS / top,
        absent=_absent(metric, top),
    )
    whole = own.stat == "any" or found.form is Form.CEILING
    buckets = None if whole else Buckets(cap=top, least=top * LEAST)
    return msgspec.structs.replace(
        found,
        own=own,
        horizon_ms=own.exposure_ms + own.settles_ms,
        buckets=buckets,
        levels=(0.0, 1.0) if buckets is None else tuple(buckets.levels().values.tolist()),
        missing=-1 if metric.source == "prediction" else found.missing,
        crash=metric.crash.ratio if metric.crash else None,
    )


def owned_pairs(found: Counted, metric: Metric, *, settles_ms: int) -> Counted:
    """`found`, as pairs of sticky units are counted: one pair of each, drawn from its exposure.

    Args:
        settles_ms: how long after its time an answer's pair and its labels are waited for.
    """
    exposed_ms = duration_ms(metric.exposure) if metric.exposure else SETTLES_MS
    own = Own(stat="one", exposure_ms=exposed_ms, settles_ms=settles_ms)
    return msgspec.structs.replace(found, own=own, horizon_ms=exposed_ms + settles_ms)


def exposure_ms(metric: Metric, spec: Spec) -> int:
    """For how long after its enrolment a unit's events count.

    Labels that say nothing of it follow the unit for as long as the metric that does so longest:
    a growing weight waits for that one anyway.
    """
    said = [metric.exposure] if metric.exposure else [m.exposure for m in spec.metrics]
    return max((duration_ms(text) for text in said if text is not None), default=SETTLES_MS)


def _stat(found: Counted, metric: Metric) -> Literal["mean", "sum", "any"]:
    if found.form is Form.EVENT_SHARE:
        return "any"
    if metric.source == "feedback":
        return "sum" if stat_of(metric) == "mean" else "any"
    return "mean"


def _absent(metric: Metric, top: float) -> float | None:
    """Of an answer whose label never came. Feedback that never came is none."""
    if metric.source != "label" or metric.missing == "as-champion":
        return None
    return 0.0 if metric.missing == "right" else top
