"""S6: quantiles of a metric from its histogram, exact at the edges of the buckets.

"The p95 is above t" and "more than 5 % of the values lie beyond t" are one statement, and the
second is a share (`shares`, `risks`). Wherever t is an edge, a histogram answers it exactly.

Cells are counts of shape (edges + 1,): up to the first edge, between edges (upper end included),
beyond the last: those of `buckets.LogBuckets`.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from evidence.domain import Floats, InputError, Ints, counts, levels, open_unit, positive
from evidence.multiplicity import average
from evidence.results import Evidence, Interval, Side
from evidence.risks import EventShare
from evidence.sequences import Epoch, log_e
from evidence.shares import SAME, Beta, log_e_share

_JEFFREYS = Beta()


def exceedances(cells: ArrayLike, edges: ArrayLike, thresholds: ArrayLike) -> Ints:
    """How many values lie within and beyond each threshold: cells for every test of a share.

    Leading axes stay: one arm goes to `risks.OneArmShare`, epoch by epoch, and two arms to
    any test of a difference between their shares beyond the threshold.

    Args:
        cells: histograms, shape (..., edges + 1).
        edges: rising, shape (edges,).
        thresholds: each equal to one of the edges, shape (thresholds,).

    Returns:
        (within, beyond), shape (..., thresholds, 2).

    Raises:
        InputError: edges that do not rise, wrong shapes, a threshold between edges.

    >>> exceedances([5, 3, 2], [10.0, 20.0], [10.0, 20.0]).tolist()
    [[5, 5], [8, 2]]
    """
    fixed = _edges(edges)
    found = counts("cells", cells, (len(fixed) + 1,))
    wanted = levels("thresholds", thresholds)
    at = np.minimum(np.searchsorted(fixed, wanted), len(fixed) - 1)
    if (fixed[at] != wanted).any():
        raise InputError("thresholds", wanted[fixed[at] != wanted][0].item(), "must be an edge")
    within = found.cumsum(axis=-1)
    return np.stack([within[..., at], within[..., -1:] - within[..., at]], axis=-1)


def frozen_threshold(cells: ArrayLike, edges: ArrayLike, q: float) -> float:
    """The edge to freeze for "not beyond the champion's quantile": the first with q at or below.

    Freeze it before the epoch, from shadow; a threshold of the running data is no threshold.

    Args:
        cells: the champion's histogram, shape (edges + 1,).
        edges: rising, in units of the metric.
        q: level of the quantile, in (0, 1).

    Raises:
        InputError: no values, a quantile beyond the last edge, or as `exceedances`.

    >>> frozen_threshold([90, 6, 4], [10.0, 20.0], 0.95)
    20.0
    """
    found = _sample_quantile(*_cumulative(cells, edges), q)
    if found is None:
        raise InputError("cells", 0, "must hold at least one value")
    if math.isinf(found):
        raise InputError("edges", _edges(edges)[-1].item(), f"must reach beyond the quantile {q}")
    return found


def quantile_interval(
    cells: ArrayLike, edges: ArrayLike, q: float, *, alpha: float, prior: Beta = _JEFFREYS
) -> Interval:
    """Confidence sequence of a quantile, rounded outward to bucket edges.

        lower: the last edge where S2 rejects "P(X <= edge) >= q" at alpha / 2
        upper: the first edge where S2 rejects "P(X <= edge) <= q" at alpha / 2

    No union over the edges is needed. Counts grow from edge to edge and the evidence with the
    count, so a false rejection at any edge below the quantile is one at the last such edge too: a
    single test per side, at a place that the truth fixes and not the data.

    Args:
        cells: histogram, shape (edges + 1,).
        edges: rising, in units of the metric.
        q: level of the quantile, in (0, 1).
        alpha: level of both sides together, in (0, 1).
        prior: on P(X <= edge), frozen; mass around q makes it tighter.

    Returns:
        Exact under a look after every value; an end is infinite while no edge is rejected.

    Raises:
        InputError: as `exceedances`; q or alpha outside (0, 1).

    References:
        Howard & Ramdas (2022), Sequential estimation of quantiles, Bernoulli 28(3).

    >>> quantile_interval([100, 300, 400, 150, 50], [5.0, 10.0, 20.0, 40.0], 0.5, alpha=0.05)
    Interval(lower=10.0, upper=20.0)
    """
    within, fixed = _cumulative(cells, edges)
    n, below = int(within[-1]), within[:-1]
    threshold = -math.log(open_unit("alpha", alpha) / 2)
    # Up to here no share is above q, from here none is below: what is left out has E <= 1.
    middle = _reaches(within, q)

    def rejects(edge: int, side: Side) -> bool:
        return bool(log_e_share(int(below[edge]), n, q, side, prior) >= threshold)

    places = range(len(fixed))
    first = bisect_left(places, True, lo=middle, key=lambda at: rejects(at, Side.ABOVE))
    last = bisect_left(places, True, hi=middle, key=lambda at: not rejects(at, Side.BELOW)) - 1
    return Interval(
        fixed[last].item() if last >= 0 else -math.inf,
        fixed[first].item() if first < len(fixed) else math.inf,
    )


def quantile(
    cells: ArrayLike,
    edges: ArrayLike,
    q: float,
    threshold: float,
    side: Side,
    *,
    alpha: float,
    prior: Beta = _JEFFREYS,
) -> Evidence:
    """Whether a quantile lies on `side` of a frozen threshold, with its confidence sequence.

    ABOVE speaks for "more than 1 - q of the values lie beyond", BELOW for "fewer": a ceiling that
    holds in itself, such as a service level. The estimate is the edge at or next above the sample
    quantile. Arguments and errors as `quantile_interval`; the threshold is an edge.

    >>> found = quantile([800, 180, 20], [100.0, 200.0], 0.95, 200.0, Side.BELOW, alpha=0.05)
    >>> found.rejects, found.estimate, found.interval
    (True, 200.0, Interval(lower=100.0, upper=200.0))
    """
    within, beyond = map(int, exceedances(cells, edges, [threshold])[0])
    return Evidence(
        n=within + beyond,
        estimate=_sample_quantile(*_cumulative(cells, edges), q),
        interval=quantile_interval(cells, edges, q, alpha=alpha, prior=prior),
        log_e=float(log_e_share(within, within + beyond, q, side.other, prior)),
        alpha=open_unit("alpha", alpha),
        assumes=(SAME,),
    )


def log_e_slower(
    cells: Sequence[ArrayLike],
    pis: Sequence[float],
    edges: ArrayLike,
    thresholds: ArrayLike,
    *,
    ratio: float = 1.0,
) -> Floats:
    """Log e-value against "beyond no threshold lies more of the challenger than of the champion".

        E = mean_t E_t,   E_t = risks.EventShare at `ratio`, on the units beyond threshold t

    Exact under any dependence between thresholds and any drift that the arms share. For harm only:
    its mirror image would call a challenger safe that is faster at one threshold. Power falls with
    1 - the share beyond, so it sees tails better than medians.

    Args:
        cells: for each epoch one histogram per arm, champion first, shape (..., 2, edges + 1).
        pis: for each epoch the challenger's assignment probability.
        edges: rising, in units of the metric.
        thresholds: edges, frozen before the first unit (`frozen_threshold`), at least one.
        ratio: of the units beyond a threshold that is still tolerated.

    Returns:
        Nats, shape (...).

    Raises:
        InputError: no epochs, a pi outside (0, 1), ratio not above 0, or as `exceedances`.

    >>> arms = [[900, 60, 40], [850, 70, 80]]
    >>> round(float(log_e_slower([arms], [0.5], [100.0, 200.0], [100.0, 200.0])), 2)
    4.44
    """
    if not cells or len(cells) != len(pis):
        raise InputError("pis", len(pis), f"must be one for each of {len(cells)} epochs")
    shape = (2, len(_edges(edges)) + 1)
    arms = [exceedances(counts("cells", each, shape), edges, thresholds) for each in cells]
    epochs = [
        Epoch(EventShare(pi), np.moveaxis(each[..., 1], -2, -1))  # thresholds, then arms
        for pi, each in zip(pis, arms, strict=True)
    ]
    return average(log_e(epochs, positive("ratio", ratio), Side.ABOVE))


def _edges(edges: ArrayLike) -> Floats:
    fixed = levels("edges", edges)
    if (np.diff(fixed) <= 0).any():
        raise InputError("edges", fixed.tolist(), "must rise")
    return fixed


def _cumulative(cells: ArrayLike, edges: ArrayLike) -> tuple[Ints, Floats]:
    """Counts up to each edge, then all, with the edges."""
    fixed = _edges(edges)
    found = counts("cells", cells, (len(fixed) + 1,))
    if found.ndim != 1:
        raise InputError("cells", found.shape, "must be one histogram")
    return found.cumsum(), fixed


def _sample_quantile(within: Ints, edges: Floats, q: float) -> float | None:
    """The first edge with a share of q at or below it; infinite beyond the last, None without."""
    at = _reaches(within, q)
    if not within[-1]:
        return None
    return edges[at].item() if at < len(edges) else math.inf


def _reaches(within: Ints, q: float) -> int:
    """The first edge with a share of q at or below it; a quotient, so that 7 of 100 reach 0.07."""
    return int(np.searchsorted(within[:-1] / max(within[-1], 1), open_unit("q", q)))
