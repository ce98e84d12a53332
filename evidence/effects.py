"""S4: what the challenger changes, measured on assigned units: a difference, or a ratio.

Because the assignment probability is known, each unit alone carries an unbiased outcome, whatever
the base rate does meanwhile and however the ramp changes between epochs. So no arm is pooled and
nothing is estimated from the same data.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from evidence.bets import DEFAULT_PLAN, Plan, log_wealth, log_wealths
from evidence.domain import Floats, InputError, counts, finite, levels, open_unit, positive
from evidence.results import Interval, Side

ASSIGNED = "each unit is assigned with the stated probability, whatever came before"
ONE_VALUE = "one value per unit"


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Two arms and the values that a unit's outcome can take; frozen before the first unit.

    Counts have the shape (..., 2, levels): the champion's units, then the challenger's.

    Args:
        levels: outcome of each bucket, in units of the metric; (0, 1) for a rate. A real-valued
            metric is capped and rounded onto its levels (`buckets`).
        pi: probability of the challenger among the eligible units, in (0, 1) (`ramps`).
        centre: the champion's expected mean, from an earlier period. Wrong by 2 x costs nothing,
            by 6 x twice the units, so never 0.5 for a rare event.
        sd: expected standard deviation of one outcome, above 0.
        plan: what the bets are tuned for, in units of both arms.
        high: upper end of each bucket where the outcome is not known exactly.

    Raises:
        InputError: fewer than two levels, pi outside (0, 1), the centre outside the levels, sd not
            above 0, high below the levels.
    """

    levels: tuple[float, ...] = (0.0, 1.0)
    pi: float
    centre: float
    sd: float
    plan: Plan = DEFAULT_PLAN
    high: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        low, high = levels("levels", self.levels, least=2), levels("high", self._high, least=2)
        if high.shape != low.shape or (high < low).any():
            raise InputError("high", self.high, "must be at least `levels` in every bucket")
        if low.min() == high.max():
            raise InputError("levels", self.levels, "must hold two different outcomes")
        open_unit("pi", self.pi)
        if not low.min() <= finite("centre", self.centre) <= high.max():
            raise InputError("centre", self.centre, "must lie within the levels")
        positive("sd", self.sd)

    @property
    def _high(self) -> tuple[float, ...]:
        return self.levels if self.high is None else self.high

    @property
    def range(self) -> Interval:
        """Least and greatest possible outcome of a unit."""
        return Interval(min(self.levels), max(self._high))

    @cached_property
    def ends(self) -> tuple[Floats, Floats]:
        """(low, high) outcome of each bucket."""
        return np.array(self.levels), np.array(self._high)

    @property
    def shape(self) -> tuple[int, ...]:
        return (2, len(self.levels))

    def outcomes(self, ratio: float, side: Side) -> Floats:
        """Pseudo-outcome of every cell, whose mean is mu_B - ratio mu_A.

            challenger  (Y - ratio c) / pi,     champion  -ratio (Y - c) / (1 - pi)

        Outcomes that are not known exactly stand at the end that hurts `side`.
        """
        low, high = self.ends if side is Side.ABOVE else self.ends[::-1]
        champion = -ratio * (high - self.centre) / (1 - self.pi)
        return np.concatenate([champion, (low - ratio * self.centre) / self.pi])

    def spread(self, ratio: float) -> float:
        """Standard deviation of the pseudo-outcome: sd sqrt(1 / pi + ratio^2 / (1 - pi))."""
        return self.sd * math.sqrt(1 / self.pi + ratio**2 / (1 - self.pi))

    def flat(self, cells: ArrayLike) -> Floats:
        found = counts("cells", cells, self.shape)
        return found.reshape(*found.shape[:-2], -1).astype(float)

    def units(self, cells: ArrayLike) -> int:
        return int(counts("cells", cells, self.shape).sum())

    def means(self, cells: ArrayLike) -> tuple[float, float] | None:
        """Mean outcome of champion and challenger; `None` while an arm is empty."""
        found = counts("cells", cells, self.shape)
        n = found.sum(axis=-1)
        if not n.all():
            return None
        low, high = self.ends
        champion, challenger = found @ ((low + high) / 2) / n
        return float(champion), float(challenger)


@dataclass(frozen=True)
class Difference:
    """mu_B - mu_A of a bounded metric under known assignment.

        x = A (Y - c) / pi - (1 - A) (Y - c) / (1 - pi),    E[x | past] = mu_B - mu_A

    S1 on x: exact at every n under a look after every unit. A frozen covariate g(X) (last week's
    mean of the unit, a score of the old model) makes it sharper: count Y - g(X) instead of Y.

    Args:
        arms: the arms and everything frozen about them.

    References:
        Howard et al. (2021), Annals 49(2), corollary 2; Waudby-Smith & Ramdas (2024), JRSS-B 86.

    Example: 5 % errors against 7 %, 4,000 units in each arm.

    >>> from evidence.sequences import Epoch, evidence
    >>> test = Difference(Arms(pi=0.5, centre=0.05, sd=0.22))
    >>> found = evidence([Epoch(test, [[3800, 200], [3720, 280]])], 0.0, Side.ABOVE, alpha=0.05)
    >>> round(found.estimate, 3), found.rejects
    (0.02, True)
    """

    arms: Arms
    monotone = True
    assumes = (ASSIGNED, ONE_VALUE)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.arms.shape

    @property
    def effects(self) -> Interval:
        width = self.arms.range.width
        return Interval(-width, width)

    def log_wealth(self, cells: ArrayLike, effect: float, side: Side) -> Floats:
        stakes = self.arms.plan.stakes(self.arms.spread(1.0))
        outcomes = self.arms.outcomes(1.0, side)
        return log_wealth(self.arms.flat(cells), outcomes, effect, side, stakes)

    def units(self, cells: ArrayLike) -> int:
        return self.arms.units(cells)

    def estimate(self, cells: ArrayLike) -> float | None:
        """Difference of the arms' means."""
        means = self.arms.means(cells)
        return means[1] - means[0] if means else None


@dataclass(frozen=True)
class Ratio:
    """mu_B / mu_A of a bounded metric that is never negative, under known assignment.

        x = A (Y - r c) / pi - (1 - A) r (Y - c) / (1 - pi),    E[x | past] = mu_B - r mu_A

    tested at 0 for the ratio r (lift = r - 1). Exact as `Difference`. Evidence need not be monotone
    in r: intervals are the hull of a scan, the verdict at the margin needs none.

    Args:
        arms: as for `Difference`, with levels >= 0 and a centre above 0.

    Raises:
        InputError: a negative level, or a centre of 0.

    >>> from evidence.sequences import Epoch, confidence
    >>> test = Ratio(Arms(pi=0.5, centre=0.05, sd=0.22))
    >>> found = confidence([Epoch(test, [[3800, 200], [3720, 280]])], alpha=0.05)
    >>> 1 < found.lower < 1.4 < found.upper
    True
    """

    arms: Arms
    effects = Interval(0.0, math.inf)
    monotone = False
    assumes = (ASSIGNED, ONE_VALUE)

    def __post_init__(self) -> None:
        if self.arms.range.lower < 0:
            raise InputError("levels", self.arms.levels, "must not be negative for a ratio")
        positive("centre", self.arms.centre)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.arms.shape

    def log_wealth(self, cells: ArrayLike, effect: float, side: Side) -> Floats:
        arms = self.arms
        outcomes, stakes = arms.outcomes(effect, side), arms.plan.stakes(arms.spread(effect))
        return log_wealth(arms.flat(cells), outcomes, 0.0, side, stakes)

    def log_wealths(self, cells: ArrayLike, effects: Floats, side: Side) -> Floats:
        arms, ratios = self.arms, effects.tolist()
        outcomes = np.array([arms.outcomes(ratio, side) for ratio in ratios])
        stakes = np.array([arms.plan.stakes(arms.spread(ratio)) for ratio in ratios])
        return log_wealths(arms.flat(cells), outcomes, 0.0, side, stakes)

    def units(self, cells: ArrayLike) -> int:
        return self.arms.units(cells)

    def estimate(self, cells: ArrayLike) -> float | None:
        """Ratio of the arms' means; infinite over a champion's mean of 0."""
        means = self.arms.means(cells)
        if means is None or means == (0.0, 0.0):
            return None
        return means[1] / means[0] if means[0] else math.inf
