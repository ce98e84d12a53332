"""Tests that other projects read again and again, written again from their sources.

Each answers with one truth value per look, and its docstring names where the rule stands.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import norm

from benchmarks.scenarios import Units
from benchmarks.simulation import Bools
from evidence.audited import Audit
from evidence.bets import rho
from evidence.domain import Floats, Ints
from evidence.results import Side


@dataclass(frozen=True)
class Seen:
    """Both arms at every look, champion first, shape (looks, 2).

    A mean over no units and a variance over fewer than two are NaN: they compare as false.
    """

    n: Floats
    mean: Floats
    variance: Floats

    @classmethod
    def of(cls, units: Units, at: Ints) -> "Seen":
        arms = np.stack([~units.challenger, units.challenger], axis=1)
        y = units.outcome[:, None] * arms
        n, total, squares = (x.cumsum(axis=0)[at - 1].astype(float) for x in (arms, y, y * y))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = total / n
            variance = (squares / n - mean**2) * n / (n - 1)
        return cls(n, mean, variance)

    @property
    def total(self) -> Floats:
        """Sum of the outcomes of each arm."""
        return np.nan_to_num(self.mean) * self.n

    def at(self, few: Ints) -> "Seen":
        """Only some of the looks."""
        return Seen(self.n[few], self.mean[few], self.variance[few])

    def difference(self) -> tuple[Floats, Floats]:
        """Challenger minus champion, and its variance."""
        return self.mean[:, 1] - self.mean[:, 0], (self.variance / self.n).sum(axis=1)

    def lift(self) -> tuple[Floats, Floats]:
        """Challenger over champion minus 1, and its variance by the delta method."""
        champion, challenger = self.mean.T
        of_champion, of_challenger = (self.variance / self.n).T
        ratio = challenger / champion
        return ratio - 1, (of_challenger + ratio**2 * of_champion) / champion**2


class Test(Protocol):
    """A test that is read at every look: against an effect, in one direction or (`None`) both."""

    def __call__(
        self, seen: Seen, effect: float, side: Side | None, *, relative: bool = False
    ) -> Bools: ...


def z_test(
    seen: Seen, effect: float, side: Side | None, *, alpha: float = 0.05, relative: bool = False
) -> Bools:
    """The test for one look, read at every look: what a dashboard without statistics invites.

    z = (estimate - effect) / SE > z_(1 - alpha)      two-sided: |z| > z_(1 - alpha / 2)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, variance = seen.lift() if relative else seen.difference()
        z = (estimate - effect) / np.sqrt(variance)
    z[seen.n.min(axis=1) < 30] = 0
    if side is None:
        return np.asarray(np.abs(z) > norm.ppf(1 - alpha / 2))
    return np.asarray((z if side is Side.ABOVE else -z) > norm.ppf(1 - alpha))


def asymptotic(
    seen: Seen,
    effect: float,
    side: Side | None,
    *,
    alpha: float = 0.05,
    n_star: float = 5_000,
    relative: bool = False,
) -> Bools:
    """Asymptotic confidence sequence (AsympCS), from 100 units in each arm on.

        half-width = SE sqrt(2 (n r^2 + 1) / (n r^2) ln(sqrt(n r^2 + 1) / alpha)),  n = n_A + n_B
        one-sided: ln(1 + sqrt(n r^2 + 1) / (2 alpha)) in its place, r tuned at 2 alpha

    GrowthBook: packages/stats/gbstats/frequentist/tests.py (SequentialTwoSidedTTest and its
    one-sided kin), with `sequential_tuning_parameter` 5000 as there; equations 9 and 134 of
    Waudby-Smith et al. (2024), arXiv 2103.06476v7. Of the absolute difference, or of the relative
    lift with the delta method's variance, as both are offered.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, variance = seen.lift() if relative else seen.difference()
        half = np.sqrt(variance) * _reach(seen.n.sum(axis=1), side, alpha=alpha, n_star=n_star)
    half[seen.n.min(axis=1) < 100] = np.inf
    found = np.abs(estimate - effect) > half
    if side is not None:
        found &= (estimate > effect) == (side is Side.ABOVE)
    return np.asarray(found)


def _reach(n: Floats, side: Side | None, *, alpha: float, n_star: float) -> Floats:
    """Half-width of an asymptotic confidence sequence, in standard errors."""
    v = n * rho(alpha if side is None else 2 * alpha, n_star) ** 2
    ratio = np.sqrt(v + 1) / alpha
    found: Floats = np.sqrt(
        2 * (v + 1) / v * (np.log(ratio) if side is None else np.log1p(ratio / 2))
    )
    return found


def growthbook(
    seen: Seen,
    effect: float,
    side: Side | None,
    *,
    alpha: float = 0.05,
    n_star: float = 5_000,
    relative: bool = False,
) -> Bools:
    """AsympCS behind GrowthBook's gate: the greater of the two arms' totals is at least 150.

    GrowthBook: packages/front-end/services/experiments.ts (`hasEnoughData`: neither value is 0, and
    the maximum of baseline and variation is at least `minSampleSize`, 150 unless set). A big
    champion opens the gate for a canary of any size; the 100 units of `asymptotic` are our gift.
    """
    enough = (seen.total > 0).all(axis=1) & (seen.total.max(axis=1) >= 150)
    found = asymptotic(seen, effect, side, alpha=alpha, n_star=n_star, relative=relative)
    return np.asarray(enough & found)


def mcnemar(challenger_wrong: Ints, champion_wrong: Ints, side: Side | None) -> Bools:
    """McNemar's test without correction, at 5 %, read at every look.

    z = (b - c) / sqrt(b + c) over the discordant pairs; McNemar (1947), as
    `statsmodels.stats.contingency_tables.mcnemar(exact=False, correction=False)`.
    """
    b, c = challenger_wrong.astype(float), champion_wrong.astype(float)
    z = (b - c) / np.sqrt(np.maximum(b + c, 1))
    if side is None:
        return np.asarray(np.abs(z) > norm.ppf(0.975))
    return np.asarray((z if side is Side.ABOVE else -z) > norm.ppf(0.95))


def paired_z(b: Ints, c: Ints, pairs: Ints, margin: float, side: Side) -> Bools:
    """McNemar's test of a margin: z of the mean of (b - c) / n with its sample variance."""
    mean = (b - c) / pairs
    variance = ((b + c) / pairs - mean**2) / pairs
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (mean - margin) / np.sqrt(variance)
    return np.asarray(((z if side is Side.ABOVE else -z) > norm.ppf(0.95)) & (b + c >= 10))


def weighted_mean(
    stratum: Ints, became: Ints, ladder: tuple[float, ...], at: Ints, ceiling: float, side: Side
) -> Bools:
    """AsympCS of an audited mean: losses weighted by 1 / pi, from 100 labels on, n* = 5000."""
    weighted = (became == Audit.WRONG) / np.array(ladder)[stratum]
    labels = (became != Audit.NONE).cumsum()[at - 1]
    mean = weighted.cumsum()[at - 1] / at
    variance = (weighted**2).cumsum()[at - 1] / at - mean**2
    half = np.sqrt(variance / at) * _reach(at.astype(float), side, alpha=0.05, n_star=5_000)
    gap = mean - ceiling if side is Side.ABOVE else ceiling - mean
    return np.asarray((gap > half) & (labels >= 100))
