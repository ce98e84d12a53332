"""S2: shares. Is the split what was assigned, who won the disagreements, is a share what it was?

The mixture over a frozen beta prior has a closed form and needs no guess. It serves a share whose
tested value stands still; `risks` serves those whose value changes with the assignment.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import betaincc, betaln, expit, gammaln, xlog1py, xlogy

from evidence.domain import Floats, InputError, counts, levels, open_unit, positive
from evidence.results import Evidence, Interval, Side

CONCENTRATIONS = (100.0, 1_000.0, 10_000.0)  # a mixture loses at most ln 3 against the best of them

SAME = "given the past, every unit's probability is the tested value"


@dataclass(frozen=True)
class Beta:
    """A frozen Beta(a, b) prior on a share; (1/2, 1/2) needs no guess and forgets nothing."""

    a: float = 0.5
    b: float = 0.5

    def __post_init__(self) -> None:
        positive("a", self.a)
        positive("b", self.b)


def log_e_share(
    successes: ArrayLike, n: ArrayLike, p0: float, side: Side | None = None, prior: Beta = Beta()
) -> Floats:
    """Log e-value against "the share is p0" (`side` None), "<= p0" (ABOVE) or ">= p0" (BELOW).

        ln E = ln B(a + k, b + n - k) - ln B(a, b) - k ln p0 - (n - k) ln(1 - p0)
        ABOVE adds  ln P(Beta(a + k, b + n - k) > p0) - ln P(Beta(a, b) > p0);  BELOW mirrors it

    Exact at every n, under a look after every trial.

    Args:
        successes: k, shape (...), whole numbers.
        n: trials, same shape, n >= k.
        p0: the tested share, in (0, 1).
        prior: the mixture over alternatives, frozen.

    Returns:
        Nats, shape (...).

    Raises:
        InputError: p0 outside (0, 1), negative counts, more successes than trials.

    References:
        Robbins (1970); Howard et al. (2021), Annals 49(2), propositions 6 and 7.

    >>> round(float(log_e_share(8, 10, 0.5)), 3)
    0.516
    """
    k = counts("successes", successes, ())
    total = counts("n", n, ())
    open_unit("p0", p0)
    if (k > total).any():
        raise InputError("successes", int(k.max()), "must be at most n")
    if side is Side.BELOW:
        return log_e_share(total - k, total, 1 - p0, Side.ABOVE, Beta(prior.b, prior.a))
    misses = (total - k).astype(float)
    a, b = prior.a + k.astype(float), prior.b + misses
    gain = betaln(a, b) - betaln(prior.a, prior.b)
    found: Floats = gain - xlogy(k.astype(float), p0) - xlog1py(misses, -p0)
    if side is None:
        return found
    return found + _log_above(a, b, p0) - _log_above(prior.a, prior.b, p0)


def share_interval(successes: int, n: int, *, alpha: float, prior: Beta = Beta()) -> Interval:
    """Confidence sequence of a share: {p : E(p) < 1 / alpha}, an interval since E is log-convex.

    Exact under a look at any time. Errors as `log_e_share`.

    >>> found = share_interval(8, 10, alpha=0.05)
    >>> round(found.lower, 3), round(found.upper, 3)
    (0.342, 0.991)
    """
    threshold = -math.log(open_unit("alpha", alpha))
    k, total = int(counts("successes", successes, ())), int(counts("n", n, ()))
    if k > total:
        raise InputError("successes", k, "must be at most n")
    if not total:
        return Interval(0.0, 1.0)
    head = float(betaln(prior.a + k, prior.b + total - k) - betaln(prior.a, prior.b))

    def excess(logit: float) -> float:
        cost = k * np.logaddexp(0, -logit) + (total - k) * np.logaddexp(0, logit)
        return head + float(cost) - threshold

    def side(count: int, sign: int) -> float:
        if not count:
            return sign * math.inf
        middle = math.log((k + 0.5) / (total - k + 0.5))
        far = middle + sign
        while excess(far) < 0:
            far += 2 * (far - middle)
        return float(brentq(excess, middle, far, xtol=1e-10)) + sign * 1e-10

    return Interval(float(expit(side(k, -1))), float(expit(side(total - k, 1))))


def share(
    successes: int, n: int, p0: float, side: Side, *, alpha: float, prior: Beta = Beta()
) -> Evidence:
    """Whether a share lies on `side` of p0, with its confidence sequence. As `log_e_share`.

    >>> share(60, 80, 0.5, Side.ABOVE, alpha=0.05).rejects
    True
    """
    return Evidence(
        n=n,
        estimate=successes / n if n else None,
        interval=share_interval(successes, n, alpha=alpha, prior=prior),
        log_e=float(log_e_share(successes, n, p0, side, prior)),
        alpha=open_unit("alpha", alpha),
        assumes=(SAME,),
    )


def log_e_split(
    cells: Sequence[ArrayLike],
    shares: Sequence[Sequence[float]],
    concentrations: tuple[float, ...] = CONCENTRATIONS,
) -> Floats:
    """Log e-value against "the arms get their shares": sample ratio mismatch over epochs.

        ln E = ln mean_K exp( sum_e [ ln DirMult(n_e; K p_e) - sum_i n_ei ln p_ei ] )

    The e-processes are mixed, not their one-step predictions: the answer does not depend on how
    days are batched.

    Args:
        cells: for each epoch the units per arm, shape (..., arms).
        shares: for each epoch the assigned shares, adding to 1.
        concentrations: K, how near the assigned shares the alternatives lie.

    Raises:
        InputError: no epochs, shares that are not in (0, 1) or do not add to 1, wrong shapes.

    References:
        Lindon & Malek (2022), NeurIPS (multinomial sample ratio mismatch).

    >>> round(float(log_e_split([[5_200, 4_800]], [[0.5, 0.5]])), 2)
    5.52
    """
    if not cells or len(cells) != len(shares):
        raise InputError("shares", len(shares), f"must be one for each of {len(cells)} epochs")
    by_k = []
    for k in concentrations:
        positive("concentrations", k)
        logs: Floats | float = 0.0
        for each, assigned in zip(cells, shares, strict=True):
            p = levels("shares", assigned, least=2)
            if (p <= 0).any() or abs(p.sum() - 1) > 1e-9:
                raise InputError("shares", tuple(assigned), "must be positive and add to 1")
            n = counts("cells", each, p.shape)
            prior = k * p
            logs = logs + (
                gammaln(k)
                - gammaln(k + n.sum(axis=-1))
                + (gammaln(prior + n) - gammaln(prior) - n * np.log(p)).sum(axis=-1)
            )
        by_k.append(logs)
    found: Floats = np.logaddexp.reduce(np.array(by_k), axis=0) - math.log(len(concentrations))
    return found


def _log_above(a: Floats | float, b: Floats | float, p0: float) -> Floats:
    """ln P(Beta(a, b) > p0), also where the probability is below what a float64 holds.

    There it is a tail far beyond the mode, whose hypergeometric series converges quickly:
    I_y(b, a) = y^b (1-y)^a / (b B(a, b))
        * sum_i y^i prod_{j<i} (a + b + j) / (b + 1 + j),   y = 1 - p0.
    """
    above = np.atleast_1d(np.asarray(betaincc(a, b, p0), dtype=np.float64))
    tail = above < 1e-280
    first, second = (np.broadcast_to(np.asarray(x, dtype=float), above.shape)[tail] for x in (a, b))
    term, total, i = np.ones_like(first), np.ones_like(first), 0
    while (term > 1e-16 * total).any():
        term = term * (first + second + i) / (second + 1 + i) * (1 - p0)
        total, i = total + term, i + 1
    series = second * math.log1p(-p0) + first * math.log(p0) - np.log(second) + np.log(total)
    found: Floats = np.log(np.where(tail, 1.0, above))
    found[tail] = series - betaln(first, second)
    return found.reshape(np.shape(a))
