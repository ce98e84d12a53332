"""A confidence sequence holds the truth at all looks together, and its intersection is not empty.

Whether the truth is inside at a look is whether neither side rejects it at alpha / 2 there; that is
checked at every look, and against the interval itself at a few.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.metrics import LATENCY, REVENUE, ErrorRate
from benchmarks.scenarios import (
    FLOOR,
    RISK_WEIGHTED,
    Shadow,
    Swing,
    Traffic,
)
from benchmarks.simulation import Rate, cumulative, looks, most, says, simulate
from evidence.bets import BoundedMean, Statistic
from evidence.buckets import LogBuckets
from evidence.domain import Ints
from evidence.effects import Difference, Ratio
from evidence.paired import PairedDifference, PairedRatio
from evidence.quantiles import quantile_interval
from evidence.results import EVERYTHING, Side
from evidence.risks import EventShare, OneArmShare
from evidence.sequences import Epoch, confidence
from evidence.shares import share_interval

pytestmark = pytest.mark.stats

N = 10_000
LOOKS = looks(N, 20, dense=200)
FEW = np.searchsorted(LOOKS, [50, 200, 1_000, 3_000, N])


class Truth(NamedTuple):
    statistic: Statistic
    effect: float
    counts: Callable[[np.random.Generator], Ints]


def assigned(metric, pi, effect, kind) -> Truth:
    traffic = Traffic(metric, pi, N, effect)
    true = {
        Difference: metric.mean(effect) - metric.mean(),
        Ratio: metric.mean(effect) / metric.mean(),
    }
    return Truth(
        kind(traffic.arms()),
        true[kind],
        lambda rng: traffic.counts(rng, traffic.units(rng), LOOKS),
    )


def events(p, pi, effect) -> Truth:
    traffic = Traffic(ErrorRate(p), pi, N, effect)
    return Truth(
        EventShare(pi), effect, lambda rng: traffic.counts(rng, traffic.units(rng), LOOKS)[..., 1]
    )


def pairs(kind, worse) -> Truth:
    shadow = Shadow(0.06, worse, n=N)
    effect = worse if kind is PairedDifference else shadow.ratio
    return Truth(kind(shadow.pairs()), effect, lambda rng: shadow.counts(rng, LOOKS))


def audits(scenario) -> Truth:
    return Truth(
        scenario.statistic(), scenario.loss, lambda rng: scenario.counts(scenario.draw(rng), LOOKS)
    )


def one_arm(statistic, p) -> Truth:
    return Truth(statistic, p, lambda rng: cumulative((rng.random(N) < p) * 1, (2,), LOOKS))


TRUTHS = {
    "difference of rates": assigned(ErrorRate(0.05), 0.5, 1.3, Difference),
    "difference at a canary": assigned(ErrorRate(0.01), 0.05, 2.0, Difference),
    "ratio of rates": assigned(ErrorRate(0.1), 0.1, 0.8, Ratio),
    "difference of revenues": assigned(REVENUE, 0.1, 0.7, Difference),
    "difference of latencies": assigned(LATENCY, 0.05, 1.1, Difference),
    "ratio of events": events(0.02, 0.1, 2.0),
    "difference of pairs": pairs(PairedDifference, 0.01),
    "ratio of pairs": pairs(PairedRatio, 0.01),
    "risk-weighted audits": audits(RISK_WEIGHTED),
    "audits with a floor": audits(FLOOR),
    "share of one arm": one_arm(OneArmShare(), 0.03),
    "mean of one arm": one_arm(BoundedMean((0.0, 1.0), sigma0=0.17), 0.03),
}


@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)
def test_the_truth_is_inside_at_all_looks_together(truth, replicates):
    def misses(rng):
        epochs = [Epoch(truth.statistic, truth.counts(rng))]
        return any(says(epochs, truth.effect, side, alpha=0.025).any() for side in Side)

    rate = Rate.of(simulate(misses, replicates, seed=5))
    assert rate.hits <= most(replicates), str(rate)


@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)
def test_intervals_say_what_the_tests_say_and_intersect(truth, replicates):
    def empties(rng):
        counts = truth.counts(rng)[FEW]
        rejected = np.logical_or(
            *(
                says([Epoch(truth.statistic, counts)], truth.effect, side, alpha=0.025)
                for side in Side
            )
        )
        both = EVERYTHING
        for cells, outside in zip(counts, rejected, strict=True):
            found = confidence([Epoch(truth.statistic, cells)], alpha=0.05)
            assert truth.effect in found or outside
            assert truth.effect not in found or not outside or not truth.statistic.monotone
            both = both and both.meet(found)
        return both is None

    few = max(25, replicates // 10)
    rate = Rate.of(simulate(empties, few, seed=6))
    assert rate.hits <= most(few), str(rate)


@pytest.mark.parametrize("p", [0.5, 0.03])
def test_the_interval_of_a_share_holds_it_at_all_looks(p, replicates):
    at = looks(2_000, 200, dense=20)

    def misses(rng):
        wins = cumulative((rng.random(2_000) < p) * 1, (2,), at)[:, 1]
        return any(p not in share_interval(*kn, alpha=0.05) for kn in zip(wins, at, strict=True))

    rate = Rate.of(simulate(misses, replicates, seed=7))
    assert rate.hits <= most(replicates), str(rate)


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_the_interval_of_a_quantile_holds_it_at_all_looks(q, replicates):
    buckets = LogBuckets(least=0.01, greatest=100.0, error=0.05)
    at = looks(2_000, 200)
    truth = float(np.exp({0.5: 0.0, 0.95: 1.6448536}[q]))

    def misses(rng):
        counts = cumulative(buckets.of(rng.lognormal(0, 1, 2_000)), (buckets.count,), at)
        return any(truth not in quantile_interval(c, buckets.edges, q, alpha=0.05) for c in counts)

    rate = Rate.of(simulate(misses, replicates, seed=8))
    assert rate.hits <= most(replicates), str(rate)


def test_the_harness_sees_a_mean_that_moves(replicates):
    """A mean that swings leaves what its first half had drawn: the intersection is empty."""
    swing = Swing(by=0.3, n=N)

    def empties(rng):
        both = EVERYTHING
        for cells in swing.counts(rng, LOOKS)[FEW]:
            both = both and both.meet(confidence([Epoch(swing.statistic(), cells)], alpha=0.05))
        return both is None

    few = max(25, replicates // 10)
    rate = Rate.of(simulate(empties, few, seed=9))
    assert rate.share > 0.9, str(rate)
