"""What one request, pair or sticky unit adds to the cells of a metric, on average. Pure.

A plan draws counts, not events: of a metric that takes four cells, a million requests are four
numbers. What is drawn are the cells that `rollout.cells` describes, and the judge reads no others.

Requests are independent here, metrics are independent of each other, and so are the errors of two
versions, but for labels of pairs: where versions agree they err together.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv, ndtr, ndtri

from evidence.names import Pair
from rollout import audits
from rollout.cells import Opened
from rollout.counted import HALVES, Counted, Side
from rollout.metrics import QUANTILES, stat_of
from rollout.needs import SIGMA
from rollout.rates import QUANTILE_MS, Rates, disagreement
from rollout.scenarios import Shift, base
from rollout.spec import Metric, Spec

Floats = npt.NDArray[np.float64]

_SAMPLE = 20_000  # of units, for the values of one with many requests
_WIDEST = 1e-4  # the smallest mean, of the spread, of a distribution that is drawn from
_POINTS = 4_096  # of a distribution, for its part in each level
_KNOWN_PAIRS = int(Pair.UNRESOLVED)


def chances(spec: Spec, opened: Opened, metric: Counted, rates: Rates, shift: Shift, *,
            requests: float) -> Floats:  # fmt: skip
    """The expected count in each cell, shape (groups, outcomes + 1); the last is not known in time.

    Of arms they add up to 1 over all units that are compared, of pairs to the pairs of a request.

    Args:
        requests: of a sticky unit within its exposure, after its first.
    """
    declared = spec.by_name[metric.name]
    if metric.side is Side.PAIRS:
        strata = _pairs(spec, declared, metric, rates, shift)
        return np.concatenate([strata] * len(opened.challengers))
    one = audits.plain(metric) if metric.audited else metric
    champion = _levels(spec, declared, one, rates, requests)
    challenger = _shifted(declared, one, champion, rates, shift)
    known = _labelled(declared, rates)
    if metric.audited:
        champion, challenger = (
            audits.expected(metric, likely, known=known) for likely in (champion, challenger)
        )
        known = 1.0
    first, *others = arms_of(opened)
    rows = [first / HALVES * champion] * HALVES + [share * challenger for share in others]
    cells = np.stack(rows)
    return np.concatenate([cells * known, cells.sum(axis=1, keepdims=True) * (1 - known)], axis=1)


def arms_of(opened: Opened) -> tuple[float, ...]:
    """The share of each arm among all units, the champion's first; of sticky ones the new."""
    if opened.sticky:
        return opened.fresh
    shares = [one.share for one in opened.challengers]
    return (max(0.0, 1 - sum(shares)), *shares)


def labels(spec: Spec, opened: Opened, rates: Rates) -> float:
    """How many labels people are asked for, of each request and challenger."""
    disagree = disagreement(spec, rates)
    asked = [
        metric.q[0] * (1 - disagree) + metric.q[1] * disagree
        for metric in opened.metrics
        if metric.source == "audit" and metric.side is Side.PAIRS and len(metric.q) > 1
    ]
    asked += [metric.q[-1] for metric in opened.metrics if metric.audited]
    return max(asked, default=0.0)


def _levels(spec: Spec, declared: Metric, metric: Counted, rates: Rates, requests: float) -> Floats:
    """How likely each level is of a unit of the champion."""
    mean, own = base(spec, declared, rates), metric.own
    if metric.loss == "cost":
        costs = np.array(own.levels if own else metric.levels[:3])
        share = min(0.5, mean / max(float(costs.sum()), 1e-12))
        return _counted(metric, np.array([1 - 2 * share, share, share]), costs, requests)
    if metric.buckets is None or (own is not None and own.scale == 1.0):
        return _counted(metric, np.array([1 - mean, mean]), np.array([0.0, 1.0]), requests)
    known = rates.of(declared.name)
    top = metric.buckets.cap
    points: Floats = (np.arange(_POINTS) + 0.5) / _POINTS
    if known.sd is None or mean < _WIDEST * known.sd:  # nothing between the ends
        return _bucketed(metric, np.where(points < mean / top, top, 0.0))
    shape = (mean / known.sd) ** 2  # of a gamma distribution
    values: Floats = np.asarray(gammaincinv(shape, points), float)
    return _bucketed(metric, values * mean / shape)


def _counted(metric: Counted, likely: Floats, values: Floats, requests: float) -> Floats:
    """Of a unit whose events have few values: that of one event, or what its own come to."""
    own = metric.own
    if own is not None and own.stat == "any":  # (1 - p)^n over n = 1 + Poisson(requests)
        none = float(likely[0]) * math.exp(-requests * float(likely[1:].sum()))
        return _padded(np.array([none, 1 - none]), len(metric.levels))
    if metric.buckets is None or own is None:
        return _padded(likely, len(metric.levels))
    rng = np.random.default_rng(0)  # of a sample that stands for the distribution
    n = 1 + rng.poisson(requests, _SAMPLE)
    return _bucketed(metric, rng.multinomial(n, likely) @ values / n)


def _bucketed(metric: Counted, values: Floats) -> Floats:
    assert metric.buckets is not None
    levels = metric.buckets.levels()
    index, upper = levels.neighbours(values)
    found = np.bincount(index, weights=1 - upper, minlength=len(metric.levels))
    found += np.bincount(index + 1, weights=upper, minlength=len(metric.levels))
    return np.asarray(found / len(values))


def _shifted(
    declared: Metric, metric: Counted, champion: Floats, rates: Rates, shift: Shift
) -> Floats:
    """The challenger's: the mean is exactly what the shift says, as far as levels reach."""
    levels = np.array(metric.levels)
    mean = float(champion @ levels)
    stat = stat_of(declared)
    if stat is not None and stat in QUANTILES and declared.ceiling is None:
        wanted = mean + _beyond(declared, rates, shift) - (1 - QUANTILES[stat])
    else:
        wanted = shift.of(mean)
    end = int(levels.argmin() if wanted < mean else levels.argmax())
    if wanted == mean or levels[end] == mean:
        return champion
    weight = min(1.0, (wanted - mean) / float(levels[end] - mean))
    found: Floats = champion * (1 - weight)
    found[end] += weight
    return found


def _beyond(declared: Metric, rates: Rates, shift: Shift) -> float:
    """The share of a challenger's latencies above its threshold, of a lognormal."""
    stat, margin = stat_of(declared), declared.margin
    assert stat is not None
    assert margin is not None
    at = rates.of(declared.name).mean or QUANTILE_MS
    threshold = at * (1 + (margin.relative or 0.0)) + (margin.absolute or 0.0)
    worse = max(shift.of(at), 1e-9 * at)
    spread = rates.of(declared.name).spread or SIGMA
    return 1 - float(ndtr(ndtri(QUANTILES[stat]) + math.log(threshold / worse) / spread))


def _pairs(spec: Spec, declared: Metric, metric: Counted, rates: Rates, shift: Shift) -> Floats:
    """The pairs of a request by stratum and outcome; the last column is not known in time."""
    champion = base(spec, declared, rates)
    found = np.zeros((len(metric.q), metric.columns))
    if metric.source == "pair":
        differ = float(np.clip(shift.of(champion), 0, 1))
        found[0, Pair.CHALLENGER_WRONG], found[0, Pair.EQUAL] = differ, 1 - differ
        return found
    if metric.source == "prediction":
        found[0, :_KNOWN_PAIRS] = _independent(declared, rates, champion, shift)
        return found
    agreed, differing = _judged(spec, declared, rates, champion, shift)
    strata = [agreed + differing] if len(metric.q) == 1 else [agreed, differing]
    known = _labelled(declared, rates)
    for row, (outcomes, q) in enumerate(zip(strata, metric.q, strict=False)):
        found[row, :_KNOWN_PAIRS] = q * known * outcomes
        found[row, metric.unseen - 1] += (1 - q) * outcomes.sum()
        found[row, -1] = q * (1 - known) * outcomes.sum()
    return found


def _independent(declared: Metric, rates: Rates, champion: float, shift: Shift) -> Floats:
    is_quantile = stat_of(declared) in QUANTILES and declared.ceiling is None
    other = _beyond(declared, rates, shift) if is_quantile else shift.of(champion)
    a, b = champion, float(np.clip(other, 0, 1))
    return np.array([b * (1 - a), a * (1 - b), a * b, (1 - a) * (1 - b)])


def _judged(
    spec: Spec, declared: Metric, rates: Rates, champion: float, shift: Shift
) -> tuple[Floats, Floats]:
    """Outcomes of labelled pairs that agree, and of those that differ; together they add up to 1.

    As many of the differing pairs as can be hold one error each; where answers agree, both err.
    """
    worse = float(np.clip(shift.of(champion), 0, 1)) - champion
    differ, stated = disagreement(spec, rates), rates.of(declared.name).discordant
    wanted = differ if stated is None else stated
    single = min(wanted, 2 * champion + worse, 2 * (1 - champion) - worse)
    single = max(abs(worse), single)
    differ = max(differ, single)
    alone = (single - worse) / 2  # only the champion errs
    both = max(0.0, champion - alone)
    agreed = min(both, 1 - differ)
    differing = np.array([single - alone, alone, both - agreed, differ - single - both + agreed])
    return np.array([0.0, 0.0, agreed, 1 - differ - agreed]), differing


def _labelled(declared: Metric, rates: Rates) -> float:
    known = rates.of(declared.name).labelled
    return known if declared.source in ("label", "audit") and known is not None else 1.0


def _padded(found: Floats, count: int) -> Floats:
    return np.concatenate([found, np.zeros(count - len(found))])
