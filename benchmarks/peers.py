"""How other projects decide, written again from their sources, to be measured on the same traffic.

The tests read two arms at every look and answer with one truth value per look; the controllers
read a canary check by check and answer with when they rolled back or promoted. Each docstring names
the project, the file that holds the rule, and the settings that the project's documents show.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from benchmarks.scenarios import Units
from benchmarks.simulation import Bools
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

    def difference(self) -> tuple[Floats, Floats]:
        """Challenger minus champion, and its variance."""
        return self.mean[:, 1] - self.mean[:, 0], (self.variance / self.n).sum(axis=1)

    def lift(self) -> tuple[Floats, Floats]:
        """Challenger over champion minus 1, and its variance by the delta method."""
        champion, challenger = self.mean.T
        of_champion, of_challenger = (self.variance / self.n).T
        ratio = challenger / champion
        return ratio - 1, (of_challenger + ratio**2 * of_champion) / champion**2


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
    n = seen.n.sum(axis=1)
    v = n * rho(alpha if side is None else 2 * alpha, n_star) ** 2
    ratio = np.sqrt(v + 1) / alpha
    log = np.log(ratio) if side is None else np.log1p(ratio / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, variance = seen.lift() if relative else seen.difference()
        half = np.sqrt(variance * 2 * (v + 1) / v * log)
    half[seen.n.min(axis=1) < 100] = np.inf
    found = np.abs(estimate - effect) > half
    if side is not None:
        found &= (estimate > effect) == (side is Side.ABOVE)
    return np.asarray(found)


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
    champion opens the gate for a canary of any size.
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


class Decided(NamedTuple):
    """Units of both arms that had come when a controller decided; one of the two is None."""

    harm: int | None
    safe: int | None


@dataclass(frozen=True)
class Checks:
    """A canary judged check by check against a fixed limit, with a budget of failed checks.

    Args:
        requests: of the canary, between two checks.
        limit: the error rate above which a check fails.
        failed: the number of failed checks, in all, that rolls back.
        passed: the number of passed checks that promotes; `None` if only `count` does.
        count: the number of checks that promotes, failed ones included; `None` if only `passed`.
    """

    requests: int
    limit: float
    failed: int
    passed: int | None = None
    count: int | None = None

    def __call__(self, units: Units) -> Decided:
        canary = np.flatnonzero(units.challenger)
        checks = len(canary) // self.requests
        if not checks:
            return Decided(None, None)
        whole = canary[: checks * self.requests].reshape(checks, self.requests)
        bad = units.outcome[whole].mean(axis=1) > self.limit + 1e-12
        back = bad.cumsum() >= self.failed
        on = np.arange(1, checks + 1) >= (self.count or math.inf)
        if self.passed is not None:
            on |= (~bad).cumsum() >= self.passed
        at = whole[:, -1] + 1
        if back.any() and (not on.any() or back.argmax() <= on.argmax()):
            return Decided(int(at[back.argmax()]), None)
        return Decided(None, int(at[on.argmax()]) if on.any() else None)


def flagger(limit: float, requests: int) -> Checks:
    """Flagger: point estimates against a threshold, failed checks added up and never forgotten.

    pkg/controller/scheduler.go (`advanceCanary`: a failed check holds the weight and adds one to
    FailedChecks; at `threshold` of them it rolls back) and scheduler_metrics.go
    (`runBuiltinMetricChecks`: fails when the value is beyond the threshold). Settings of its
    documents: threshold 5, stepWeight 5 up to maxWeight 50, so ten passed checks promote.
    """
    return Checks(requests, limit, failed=5, passed=10)


def argo(limit: float, requests: int) -> Checks:
    """Argo Rollouts: measurements against a condition, `failureLimit` of them may fail.

    analysis/analysis.go (`assessMetricStatus`: Failed once failed > failureLimit; Successful once
    `count` measurements were taken). Settings of its documents: failureLimit 3, count 10.
    """
    return Checks(requests, limit, failed=4, count=10)


@dataclass(frozen=True)
class Kayenta:
    """Kayenta's judge: a Mann-Whitney interval over time buckets, 98 % and 0.25 fixed in the code.

        harm when  lower end of the 98 % interval of the shift > 0.25 |Hodges-Lehmann estimate|

    kayenta-judge/src/main/scala/com/netflix/kayenta/judge/NetflixACAJudge.scala (confLevel 0.98,
    tolerance 0.25) and classifiers/metric/MannWhitneyClassifier.scala. The value of a bucket is
    the mean outcome of an arm in it; the judge runs at each look on all buckets so far, and a
    canary that no look failed is promoted after the last. The interval is that of R's wilcox.test
    by normal approximation.

    Args:
        units: of both arms in one bucket.
        buckets: in all.
        looks: how often the judge runs, evenly spaced.
        higher_is_worse: the direction of the metric.
    """

    units: int
    buckets: int = 60
    looks: int = 5
    higher_is_worse: bool = True

    def __call__(self, units: Units) -> Decided:
        buckets = min(self.buckets, len(units.outcome) // self.units)
        if buckets < self.looks:
            return Decided(None, None)
        outcome = units.outcome[: buckets * self.units].reshape(buckets, self.units)
        canary = units.challenger[: buckets * self.units].reshape(buckets, self.units)
        experiment, control = (_means(outcome, arm) for arm in (canary, ~canary))
        for look in np.linspace(buckets / self.looks, buckets, self.looks).astype(int):
            if self._fails(experiment[:look], control[:look]):
                return Decided(int(look) * self.units, None)
        return Decided(None, buckets * self.units)

    def _fails(self, experiment: Floats, control: Floats) -> bool:
        x, y = (each[~np.isnan(each)] for each in (experiment, control))
        if not (len(x) and len(y)) or len(np.unique(np.concatenate([x, y]))) == 1:
            return False
        shifts = np.sort(np.subtract.outer(x, y).ravel())
        if not self.higher_is_worse:
            shifts = -shifts[::-1]
        pairs = len(shifts)
        spread = math.sqrt(pairs * (len(x) + len(y) + 1) / 12)
        below = max(0, math.floor(pairs / 2 - norm.ppf(0.99) * spread))
        return bool(shifts[below] > 0.25 * abs(np.median(shifts)))


def _means(outcome: Floats, arm: Bools) -> Floats:
    """Mean outcome of an arm in each bucket; NaN where it has no units."""
    with np.errstate(invalid="ignore"):
        found: Floats = (outcome * arm).sum(axis=1) / arm.sum(axis=1)
    return found
