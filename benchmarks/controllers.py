"""How deployment controllers decide, written again from their sources.

They read a canary check by check, and answer with when they rolled back or promoted. Each docstring
names the project, the file that holds the rule, and the settings that its documents show.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from benchmarks.scenarios import Units
from benchmarks.simulation import Bools
from evidence.domain import Floats


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
    by normal approximation; the removal of outliers beforehand is left out.

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
        lower, estimate = shift(x, y) if self.higher_is_worse else shift(-x, -y)
        return lower > 0.25 * abs(estimate)


def shift(x: Floats, y: Floats) -> tuple[float, float]:
    """How far x lies above y: lower end of the 98 % interval, and Hodges-Lehmann estimate.

    Both are order statistics of all differences; the interval's rank is Mann and Whitney's.
    """
    shifts = np.sort(np.subtract.outer(x, y).ravel())
    spread = math.sqrt(len(shifts) * (len(x) + len(y) + 1) / 12)
    rank = max(0, math.floor(len(shifts) / 2 - norm.ppf(0.99) * spread))
    return float(shifts[rank]), float(np.median(shifts))


def _means(outcome: Floats, arm: Bools) -> Floats:
    """Mean outcome of an arm in each bucket; NaN where it has no units."""
    with np.errstate(invalid="ignore"):
        found: Floats = (outcome * arm).sum(axis=1) / arm.sum(axis=1)
    return found
