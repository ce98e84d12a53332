"""From bettors to answers: e-values, confidence sequences, and how epochs join.

An epoch is a stretch with frozen parameters. Epochs of one statistic add inside the mixture index:
bettor j keeps betting through all of them, so a new epoch costs nothing. Kinds of evidence that
share no events (pairs in shadow, then arms in canary) multiply.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from evidence.bets import Scanned, Statistic, mixed
from evidence.domain import Bools, Floats, InputError, open_unit
from evidence.results import LOG_LIMIT, Evidence, Interval, Side

_FURTHEST = math.log(1e6)  # ratios are searched between 1e-6 and 1e6; beyond: 0, or infinite
_GROWTH = 4.0  # of steps in search of a bound
_ROUNDING = 1e-9  # nats that one pass over many effects may differ by from a call for each
_SCANNED = np.sinh(np.linspace(0, 8, 51)) / np.sinh(8)  # where evidence need not be monotone


@dataclass(frozen=True)
class Epoch:
    """One epoch: its frozen statistic and what it has counted."""

    statistic: Statistic
    cells: ArrayLike


Account = Callable[[Sequence[Epoch], float | Floats, Side], Floats]


def log_e(epochs: Sequence[Epoch], effect: float | Floats, side: Side) -> Floats:
    """Log e-value of one account over all epochs; `safe` is read from it.

        ln E = sum_kinds logsumexp_j [ ln w_j + sum_e ln W_{j,e} ]

    Args:
        epochs: the epochs of one question, oldest first, at least one; their effects are either
            all differences or all ratios. Leading axes of the counts broadcast.
        effect: the tested effect, in units of the metric, or a ratio; of counts without leading
            axes also several.
        side: the direction that the evidence speaks for.

    Returns:
        Nats, in the shape of the leading axes of the counts, or for each of several effects.

    Raises:
        InputError: no epochs, or counts outside the statistic's domain.

    >>> from evidence.bets import BoundedMean
    >>> coin = BoundedMean((0.0, 1.0), sigma0=0.5)
    >>> halves = [Epoch(coin, [10, 40]), Epoch(coin, [10, 40])]
    >>> whole = [Epoch(coin, [20, 80])]
    >>> bool(abs(log_e(halves, 0.5, Side.ABOVE) - log_e(whole, 0.5, Side.ABOVE)) < 1e-9)
    True
    """
    return _product([mixed(each.sum(axis=0)) for each in _wealths(epochs, effect, side)])


def log_e_late(epochs: Sequence[Epoch], effect: float | Floats, side: Side) -> Floats:
    """Log e-value for an effect that may have begun with any epoch; `harm` is read from it.

        E = sum_{s<=S} v_s E(epochs s..S) + 1 / (S + 1),   v_s = 1 / (s (s + 1))

    Epochs that have not begun count 1: that is the last term. One single account would first have
    to win back what it lost while all was well. Arguments, result and errors as `log_e`.

    Example: nothing in the first epoch, much in the second.

    >>> from evidence.bets import BoundedMean
    >>> coin = BoundedMean((0.0, 1.0), sigma0=0.5)
    >>> epochs = [Epoch(coin, [5000, 5000]), Epoch(coin, [20, 80])]
    >>> log_e(epochs, 0.5, Side.ABOVE) < 5 < log_e_late(epochs, 0.5, Side.ABOVE)
    np.True_
    """
    kinds = _wealths(epochs, effect, side)
    since = _product([mixed(np.cumsum(each[::-1], axis=0)[::-1]) for each in kinds])
    start = np.arange(1.0, len(since) + 1).reshape(-1, *[1] * (since.ndim - 1))
    begun: Floats = np.logaddexp.reduce(since - np.log(start * (start + 1)), axis=0)
    return np.logaddexp(begun, -math.log(len(since) + 1))


def log_e_both(epochs: Sequence[Epoch], effect: float) -> Floats:
    """Log e-value against "the effect is exactly `effect`": both sides at half weight.

    >>> from evidence.bets import BoundedMean
    >>> coin = BoundedMean((0.0, 1.0), sigma0=0.5)
    >>> log_e_both([Epoch(coin, [20, 80])], 0.5) > 10
    np.True_
    """
    above, below = (log_e(epochs, effect, side) for side in Side)
    return np.logaddexp(above, below) - math.log(2)


def evidence(epochs: Sequence[Epoch], effect: float, side: Side, *, alpha: float) -> Evidence:
    """Whether the effect lies on `side` of `effect`, with the interval beside it.

    Args:
        epochs: the epochs of one question, oldest first, at least one, without leading axes.
        effect: the tested effect.
        side: the direction that the evidence speaks for.
        alpha: level of the test, and of the two-sided interval.

    >>> from evidence.bets import BoundedMean
    >>> coin = BoundedMean((0.0, 1.0), sigma0=0.5)
    >>> found = evidence([Epoch(coin, [20, 80])], 0.5, Side.ABOVE, alpha=0.05)
    >>> found.rejects, found.estimate, 0.5 in found.interval
    (True, 0.8, False)
    """
    return Evidence(
        n=units(epochs),
        estimate=estimate(epochs),
        interval=confidence(epochs, alpha=alpha),
        log_e=float(log_e(epochs, effect, side)),
        alpha=open_unit("alpha", alpha),
        assumes=epochs[0].statistic.assumes,
    )


def confidence(epochs: Sequence[Epoch], *, alpha: float) -> Interval | None:
    """The confidence sequence now: {effect: neither side rejects at alpha / 2}.

    P(it ever misses the effect) <= alpha over all looks together. `None` when no effect fits: it
    moved, or an assumption is broken. Only the hull is given where evidence need not be monotone.

    >>> from evidence.bets import BoundedMean
    >>> coin = BoundedMean((0.0, 1.0), sigma0=0.5)
    >>> found = confidence([Epoch(coin, [20, 80])], alpha=0.05)
    >>> round(found.lower, 3), round(found.upper, 3)
    (0.641, 0.919)
    """
    half = open_unit("alpha", alpha) / 2
    lower, upper = (bound(epochs, side, alpha=half) for side in Side)
    return Interval(lower, upper) if lower <= upper else None


def bound(epochs: Sequence[Epoch], side: Side, *, alpha: float, account: Account = log_e) -> float:
    """The furthest effect that `side` does not reject: a lower bound for ABOVE, upper for BELOW.

    One-sided at level `alpha` under a look at any time. Rounded outward by 1e-9 of the range. Where
    every possible difference is rejected, the bound lies beyond them all, at infinity: the data
    break an assumption. A ratio is followed from 1e-6 to 1e6.

    Args:
        account: `log_e`, or `log_e_late` for a bound that belongs to `harm`.

    >>> from evidence.bets import BoundedMean
    >>> coin = BoundedMean((0.0, 1.0), sigma0=0.5)
    >>> round(bound([Epoch(coin, [20, 80])], Side.ABOVE, alpha=0.025), 3)
    0.641
    """
    threshold = -math.log(open_unit("alpha", alpha))
    out, back, reach = _axis(epochs)
    sign = 1 if side is Side.ABOVE else -1
    end = reach.lower if side is Side.ABOVE else reach.upper
    far = reach.upper if side is Side.ABOVE else reach.lower

    def excess(at: float) -> float:
        found = float(account(epochs, back(at), side))
        return min(max(found, -LOG_LIMIT), LOG_LIMIT) - threshold

    seen = estimate(epochs)
    near = far if seen is None else min(max(out(seen), reach.lower), reach.upper)
    if excess(near) >= 0:  # the effect moved between epochs; look beyond the estimate
        near, end = far, near
    if excess(near) >= 0:
        return sign * math.inf if out is float else back(far)
    if all(epoch.statistic.monotone for epoch in epochs):
        near, end = _closer(excess, near, end, first=reach.width / math.sqrt(1 + units(epochs)))
    else:
        grid = near + (end - near) * _SCANNED
        effects = np.array([back(at) for at in grid.tolist()])
        rejected = account(epochs, effects, side) >= threshold - _ROUNDING
        near, end = _outermost(grid, rejected)
    if excess(end) < 0:
        return {Side.ABOVE: 0.0, Side.BELOW: math.inf}[side] if out is not float else back(end)
    step = 1e-9 * reach.width
    at = float(brentq(excess, min(near, end), max(near, end), xtol=step, rtol=1e-12))
    return back(min(max(at - sign * step, reach.lower), reach.upper))


def units(epochs: Sequence[Epoch]) -> int:
    """Analysis units over all epochs.

    >>> from evidence.bets import BoundedMean
    >>> coin = BoundedMean((0.0, 1.0), sigma0=0.5)
    >>> units([Epoch(coin, [20, 80]), Epoch(coin, [1, 1])])
    102
    """
    return sum(epoch.statistic.units(epoch.cells) for epoch in epochs)


def estimate(epochs: Sequence[Epoch]) -> float | None:
    """The epochs' plain estimates, weighted by their units; `None` without any.

    >>> from evidence.bets import BoundedMean
    >>> coin = BoundedMean((0.0, 1.0), sigma0=0.5)
    >>> estimate([Epoch(coin, [20, 80]), Epoch(coin, [50, 50])])
    0.65
    """
    found = [(e.statistic.estimate(e.cells), e.statistic.units(e.cells)) for e in epochs]
    known = [(value, n) for value, n in found if value is not None]
    total = sum(n for _, n in known)
    return sum(value * n for value, n in known) / total if total else None


def _wealths(epochs: Sequence[Epoch], effect: float | Floats, side: Side) -> list[Floats]:
    """Log wealths of each kind of statistic, (epochs, ..., 29), 0 in epochs of another kind."""
    if not epochs:
        raise InputError("epochs", epochs, "must hold at least one epoch")
    if len({math.isfinite(epoch.statistic.effects.upper) for epoch in epochs}) > 1:
        kinds = sorted({type(epoch.statistic).__name__ for epoch in epochs})
        raise InputError("epochs", kinds, "must be all of differences or all of ratios")
    each = np.broadcast_arrays(*(_wealth(epoch, effect, side) for epoch in epochs))
    played = [type(epoch.statistic) for epoch in epochs]
    return [
        np.stack([w if t is kind else np.zeros_like(w) for w, t in zip(each, played, strict=True)])
        for kind in dict.fromkeys(played)
    ]


def _wealth(epoch: Epoch, effect: float | Floats, side: Side) -> Floats:
    """Log wealths of one epoch, (..., 29), or (effects, 29)."""
    statistic, cells = epoch.statistic, epoch.cells
    if not isinstance(effect, np.ndarray):
        return statistic.log_wealth(cells, effect, side)
    if isinstance(statistic, Scanned):
        return statistic.log_wealths(cells, effect, side)
    return np.stack([statistic.log_wealth(cells, each, side) for each in effect.tolist()])


def _product(logs: list[Floats]) -> Floats:
    return np.sum(logs, axis=0) if len(logs) > 1 else logs[0]


def _axis(
    epochs: Sequence[Epoch],
) -> tuple[Callable[[float], float], Callable[[float], float], Interval]:
    """The axis to search on, and back: the effect itself, or the logarithm of a ratio."""
    if not epochs:
        raise InputError("epochs", epochs, "must hold at least one epoch")
    wholes = [epoch.statistic.effects for epoch in epochs]
    if math.isfinite(wholes[0].upper):
        return float, float, Interval(min(w.lower for w in wholes), max(w.upper for w in wholes))
    return _log, math.exp, Interval(-_FURTHEST, _FURTHEST)


def _log(ratio: float) -> float:
    return math.log(ratio) if ratio > 0 else -math.inf


def _closer(
    excess: Callable[[float], float], near: float, end: float, *, first: float
) -> tuple[float, float]:
    """Two points around the same crossing: steps away from `near` that grow from `first`.

    The bound lies some standard errors from the estimate. So they take the same number of steps
    whatever was counted, where halving what is possible takes more for every decade.
    """
    step = math.copysign(first, end - near)
    while abs(end - near) > abs(step):
        at = near + step
        if excess(at) >= 0:
            return near, at
        near, step = at, _GROWTH * step
    return near, end


def _outermost(grid: Floats, rejected: Bools) -> tuple[float, float]:
    """The furthest point that is not rejected, and the one beyond it; the first never is.

    All of them are asked at once: how many lie beyond the furthest grows with what was counted.
    """
    last = int((~rejected).nonzero()[0].max(initial=0))
    return float(grid[last]), float(grid[min(last + 1, len(grid) - 1)])
