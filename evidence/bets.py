"""S1: the mean of any bounded outcome, from counts alone, exact under a look at any time.

A bettor stakes the same share lambda of the wealth on every unit. If the mean is really m, no
bettor can expect to grow; a mixture of many such bettors is an e-process, and by Ville's inequality
it ever reaches 1 / alpha with probability at most alpha. Because a bettor's wealth depends on how
often each outcome happened and not on the order, integer counts are the whole state.

Every other statistic (differences, ratios, pairs, audits) says which outcome to bet on.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from evidence.domain import Floats, InputError, counts, levels, open_unit, positive
from evidence.results import Interval, Side

# The bettors: half octaves around the bet that is best at the planned number of units, under
# heavy-tailed weights. A Gaussian grid never stops when far more units come than were planned.
OFFSETS: Floats = np.arange(-14, 15) / 2
LOG_WEIGHTS: Floats = -np.log1p((OFFSETS / 2) ** 2)
LOG_WEIGHTS -= np.log(np.exp(LOG_WEIGHTS).sum())
for _fixed in (OFFSETS, LOG_WEIGHTS):
    _fixed.flags.writeable = False

# Finite, so that the log wealths of several epochs add without NaN; the impossible outweighs.
_IRREFUTABLE, _IMPOSSIBLE = -1e200, 1e300


class Statistic(Protocol):
    """One question about one effect, with all its parameters frozen before the first unit.

    Bettor j is the same person in every epoch: log wealths of epochs add before they are mixed.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the counts it reads; leading axes are independent (slices, looks)."""

    @property
    def effects(self) -> Interval:
        """The effects that are possible; (0, inf) for a ratio."""

    @property
    def monotone(self) -> bool:
        """Whether one-sided evidence always falls as the tested effect nears what was seen."""

    @property
    def assumes(self) -> tuple[str, ...]:
        """What must hold for the guarantee, in words for the screen."""

    def log_wealth(self, cells: ArrayLike, effect: float, side: Side) -> Floats:
        """Log wealth of each bettor for `side` of `effect`, shape (..., 29)."""

    def units(self, cells: ArrayLike) -> int:
        """How many analysis units the counts hold."""

    def estimate(self, cells: ArrayLike) -> float | None:
        """The plain estimate of the effect, to check by hand; `None` where there is none."""


@runtime_checkable
class Scanned(Protocol):
    """A statistic whose evidence need not be monotone: many effects are asked about at once."""

    def log_wealths(self, cells: ArrayLike, effects: Floats, side: Side) -> Floats:
        """Log wealth of each bettor for `side` of each effect, shape (effects, 29).

        Counts have no leading axes here.
        """


def rho(alpha: float, n: float) -> float:
    """The bet, per standard deviation, at which a mixture is tightest when `n` units have come.

        rho = sqrt((-2 ln alpha + ln(1 - 2 ln alpha)) / n)

    Args:
        alpha: level, in (0, 1).
        n: planned units, above 0.

    Raises:
        InputError: alpha outside (0, 1), or n not above 0.

    References:
        Waudby-Smith et al. (2024), Annals of Statistics 52; eq. 161 of arXiv 2103.06476v7.

    >>> round(rho(0.05, 10_000), 5)
    0.02817
    """
    log = -2 * math.log(open_unit("alpha", alpha))
    return math.sqrt((log + math.log1p(log)) / positive("n", n))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the bets are tuned for; only speed hangs on it, never validity.

    Args:
        n_star: units at which evidence should be strongest; wrong by 10 x costs <= 60 % more units.
        alpha: level that the bets are tuned for, in (0, 1).
    """

    n_star: float = 20_000
    alpha: float = 0.05

    def __post_init__(self) -> None:
        positive("n_star", self.n_star)
        open_unit("alpha", self.alpha)

    @cached_property
    def _standard(self) -> Floats:
        return np.exp2(OFFSETS) * rho(self.alpha, self.n_star)

    def stakes(self, sigma0: float) -> Floats:
        """Unclipped bets 2^o rho(alpha, n*) / sigma0 for outcomes of spread `sigma0`, (29,)."""
        return self._standard / sigma0


DEFAULT_PLAN = Plan()


def log_wealth(cells: Floats, outcomes: Floats, m: float, side: Side, stakes: Floats) -> Floats:
    """Log wealth of every bettor against "the mean outcome is m".

        ln W_j = sum_c n_c ln(1 + lambda_j (x_c - m)),   lambda_j = min(stake_j, 1/2 / (m - min x))

    for ABOVE, and mirrored for BELOW. The clip keeps every factor at 1/2 or more. Each W_j is a
    supermartingale under the whole one-sided null and monotone in m. Where m lies outside the
    range of x nothing is clipped: what cannot be refuted has no wealth, what is impossible all of
    it.

    Args:
        cells: counts as floats, shape (..., cells).
        outcomes: outcome x of each cell, shape (cells,).
        m: the tested mean, in units of x.
        side: the direction that the evidence speaks for.
        stakes: unclipped bets, > 0, in 1 / units of x, shape (bettors,).

    Returns:
        Nats, shape (..., bettors), never NaN.

    Example: a bettor who stakes 0.4 on every head above 1/2 sees three heads and a tail.

    >>> tosses, coin, stake = np.array([1.0, 3.0]), np.array([0.0, 1.0]), np.array([0.4])
    >>> found = np.exp(log_wealth(tosses, coin, 0.5, Side.ABOVE, stake))
    >>> round(float(found[0]), 4), round(1.2**3 * 0.8, 4)
    (1.3824, 1.3824)
    """
    if side is Side.BELOW:
        outcomes, m = -outcomes, -m
    lo, hi = float(outcomes.min()), float(outcomes.max())
    if lo < m < hi:
        bets = np.minimum(stakes, 0.5 / (m - lo))
        return cells @ np.log1p(np.multiply.outer(outcomes - m, bets))
    whole = (*cells.shape[:-1], len(stakes))
    if m >= hi:
        return np.full(whole, _IRREFUTABLE)
    if m < lo:
        return np.full(whole, _IMPOSSIBLE)
    above = cells[..., outcomes > lo].any(axis=-1)  # a mean at the lower end allows nothing else
    return np.broadcast_to(np.where(above, _IMPOSSIBLE, 0.0)[..., None], whole)


def log_wealths(cells: Floats, outcomes: Floats, m: float, side: Side, stakes: Floats) -> Floats:
    """`log_wealth` of several questions about the same counts, in one pass over all of them.

    Args:
        cells: counts as floats, shape (cells,).
        outcomes: of each question, shape (questions, cells).
        m, side: as there.
        stakes: of each question, shape (questions, bettors).

    Returns:
        Nats, shape (questions, bettors).

    >>> tosses, coins = np.array([1.0, 3.0]), np.array([[0.0, 1.0], [0.0, 2.0]])
    >>> stakes = np.array([[0.4], [0.1]])
    >>> several = log_wealths(tosses, coins, 0.5, Side.ABOVE, stakes)
    >>> each = [log_wealth(tosses, *at, Side.ABOVE, bets) for at, bets in
    ...         zip([(coins[0], 0.5), (coins[1], 0.5)], stakes)]
    >>> np.allclose(several, each)
    True
    """
    if side is Side.BELOW:
        outcomes, m = -outcomes, -m
    lo, hi = outcomes.min(axis=1), outcomes.max(axis=1)
    inside = (lo < m) & (m < hi)
    with np.errstate(over="ignore"):  # what can hardly be lost is not clipped
        bets = np.minimum(stakes[inside], 0.5 / (m - lo[inside, None]))
    differs = np.ones(bets.shape, bool)  # bettors that are clipped are one
    differs[:, 1:] = bets[:, 1:] != bets[:, :-1]
    question, bettor = differs.nonzero()
    each = np.log1p((outcomes[inside] - m)[question] * bets[question, bettor, None]) @ cells
    found = np.empty(stakes.shape)
    found[inside] = each[np.cumsum(differs) - 1].reshape(bets.shape)
    for k in (~inside).nonzero()[0].tolist():
        found[k] = log_wealth(cells, outcomes[k], m, Side.ABOVE, stakes[k])
    return found


def mixed(wealth: Floats) -> Floats:
    """The e-value of all bettors together: logsumexp_j [ln w_j + ln W_j].

    Args:
        wealth: log wealths, shape (..., 29).

    Returns:
        Log e-values in nats, shape (...).

    >>> float(mixed(np.full(29, 2.0)).round(9))
    2.0
    """
    each = wealth + LOG_WEIGHTS
    top = each.max(axis=-1, keepdims=True)
    total = np.log(np.exp(each - top).sum(axis=-1, keepdims=True)) + top
    found: Floats = total[..., 0]
    return found


@dataclass(frozen=True)
class BoundedMean:
    """Evidence about the mean of an outcome that takes one of a few known values.

        log E(m) = logsumexp_j [ ln w_j + sum_c n_c ln(1 + lambda_j (x_c - m)) ]
        lambda_j = 2^o_j rho(alpha, n*) / sigma0, clipped;  o = -7, -6.5 ... 7;  w ~ 1/(1 + (o/2)^2)

    Exact at every n, under a look after every unit. A rejection means (AM-GM: the bets are
    constant) that at some look the *average* mean of the units so far lay beyond m; the mean need
    not stand still. An outcome known only to lie in [low, high], such as an audit that nobody
    resolved in time, is counted at the end that hurts the claim.

    Args:
        low: outcome of each cell, at least two different ones, in units of the metric.
        sigma0: guessed standard deviation of one outcome, same unit.
        plan: what the bets are tuned for.
        high: upper end of each cell's outcome, where that is not known exactly.

    Raises:
        InputError: an outcome that is not finite, no two different ones, high below low, sigma0
            not above 0.

    References:
        Robbins (1970), Ann. Math. Stat. 41 (mixtures); Howard et al. (2021), Annals 49(2);
        Waudby-Smith & Ramdas (2024), JRSS-B 86 (betting); Orabona & Jun (2024), arXiv 2110.14099.

    Example: 80 heads of 100 against a fair coin.

    >>> from evidence.results import Side
    >>> coin = BoundedMean((0.0, 1.0), sigma0=0.5, plan=Plan(n_star=100))
    >>> round(float(mixed(coin.log_wealth([20, 80], 0.5, Side.ABOVE))), 2)
    17.59
    """

    low: tuple[float, ...]
    sigma0: float
    plan: Plan = DEFAULT_PLAN
    high: tuple[float, ...] | None = None
    monotone = True
    assumes = ("given the past, every unit's mean outcome is the tested value",)

    def __post_init__(self) -> None:
        low, high = levels("low", self.low, least=2), levels("high", self.ends[1], least=2)
        if high.shape != low.shape or (high < low).any():
            raise InputError("high", self.high, "must be at least `low` in every cell")
        if low.max() == low.min() or high.max() == high.min():
            raise InputError("low", self.low, "must hold two different outcomes")
        positive("sigma0", self.sigma0)

    @property
    def ends(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.low, self.low if self.high is None else self.high

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.low),)

    @property
    def effects(self) -> Interval:
        low, high = self.ends
        return Interval(min(low), max(high))

    def log_wealth(self, cells: ArrayLike, effect: float, side: Side) -> Floats:
        low, high = self.ends
        outcomes = np.array(low if side is Side.ABOVE else high)
        stakes = self.plan.stakes(self.sigma0)
        return log_wealth(
            counts("cells", cells, self.shape).astype(float), outcomes, effect, side, stakes
        )

    def units(self, cells: ArrayLike) -> int:
        return int(counts("cells", cells, self.shape).sum())

    def estimate(self, cells: ArrayLike) -> float | None:
        """Mean outcome; an outcome known only as a range counts at its middle."""
        found = counts("cells", cells, self.shape)
        low, high = self.ends
        middle = (np.array(low) + np.array(high)) / 2
        return float(found @ middle / found.sum()) if found.sum() else None
