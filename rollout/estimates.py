"""When a metric that is not yet known may be: S11, at the effect and the pace seen so far. Pure.

An estimate is a guess about traffic to come and no claim of the evidence's; nothing hangs on it.
"""

import math

from msgspec import Struct

from evidence.decision import split_alpha
from evidence.domain import InputError as DomainError
from evidence.names import Form
from evidence.planning import forecast, sd_assigned
from rollout.cells import Opened
from rollout.counted import Counted
from rollout.decisions import Judged
from rollout.judge import Record
from streams.models import DAY_MS


class Estimate(Struct, frozen=True, kw_only=True):
    """Days until the metric is proven to keep its limit: in half of the runs, in nine of ten."""

    days: float
    ninety_days: float


def estimate(record: Record, judged: Judged, *, now_ms: int) -> Estimate | None:
    """How long at this effect and pace; None where no formula is, or the effect is past the limit.

    `now_ms` is domain time.
    """
    newest = record.look.epochs[-1]
    seen = [
        (epoch, metric)
        for epoch in record.look.epochs
        for metric in epoch.metrics
        if metric.name == judged.metric and epoch.estimand == newest.estimand
    ]
    if not seen or judged.estimate is None or judged.limit is None or not judged.n:
        return None
    epoch, metric = seen[-1]
    sign = -1 if metric.higher_is_better else 1
    distance = sign * (judged.limit - judged.estimate)
    spread = _spread(epoch, metric, judged)
    elapsed_ms = now_ms - seen[0][0].opens_ms
    if spread is None or distance <= 0 or elapsed_ms <= 0:
        return None
    alphas = split_alpha(
        guardrails=epoch.guardrails, alpha=epoch.alpha, challengers=len(epoch.challengers)
    )
    pace = judged.n * DAY_MS / elapsed_ms
    try:
        found = forecast(distance, spread, units_per_day=pace, alpha=alphas.safe)
    except DomainError:
        return None
    return Estimate(
        days=max(0.0, found.median - judged.n) / pace,
        ninety_days=max(0.0, found.ninety - judged.n) / pace,
    )


def _spread(epoch: Opened, metric: Counted, judged: Judged) -> float | None:
    """Standard deviation of what one unit or pair says of the effect."""
    [pi, *_] = [one.pi for one in epoch.challengers if one.arm == judged.arm] or [None]
    match metric.form:
        case Form.DIFFERENCE | Form.QUANTILE:
            return sd_assigned(metric.sd, pi=pi) if pi else None
        case Form.PAIRED_DIFFERENCE:
            return metric.discordance
        case Form.CEILING:
            share = judged.estimate or 0.0
            return math.sqrt(share * (1 - share)) or None
        case _:
            return None
