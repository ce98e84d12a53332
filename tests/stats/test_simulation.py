"""The harness itself: counts, first looks, and seeds."""

from functools import partial

import numpy as np
import pytest

from benchmarks.contest import World
from benchmarks.contests import CONTESTS
from benchmarks.metrics import LATENCY, REVENUE, ErrorRate
from benchmarks.scenarios import Ramp, Traffic, moments
from benchmarks.simulation import Rate, cumulative, first, looks, most, processes, simulate


def test_counts_at_a_look_are_those_of_the_units_that_had_come():
    rng = np.random.default_rng(1)
    cells, at = rng.integers(0, 6, 1_000), looks(1_000, 7, dense=20)

    counts = cumulative(cells, (2, 3), at)

    for look, n in enumerate(at):
        expected = np.bincount(cells[:n], minlength=6).reshape(2, 3)
        assert (counts[look] == expected).all()


def test_the_first_look_that_says_so_is_told_in_units():
    at = looks(100, 10)

    assert first(at >= 35, at) == 40
    assert first(at > 100, at) is None


def test_a_rate_counts_first_looks_and_truths():
    assert Rate.of([3, None, 20, None]) == Rate.of([True, False, True, False]) == Rate(2, 4)
    assert Rate(0, 400).standard_error > 0


def test_most_is_the_binomial_quantile_of_the_design():
    assert (most(400), most(4_000)) == (38, 253)


def test_workers_do_not_change_what_is_found():
    path = partial(next(c for c in CONTESTS if c.key == "ramp").decide, World.SAME)

    alone = simulate(path, 6, seed=1)
    with processes(2) as workers:
        together = simulate(path, 6, seed=1, workers=workers)

    assert together == alone
    assert simulate(path, 3, seed=1) == alone[:3]


@pytest.mark.parametrize("effect", [1.0, 0.7])
@pytest.mark.parametrize("metric", [ErrorRate(0.05), ErrorRate(0.1, end=0.02), REVENUE, LATENCY])
def test_stated_means_and_spreads_are_those_of_what_is_counted(metric, effect):
    rng = np.random.default_rng(2)
    drawn = np.array(metric.levels)[metric.index(rng, metric.draw(rng, np.full(400_000, effect)))]

    assert drawn.mean() == pytest.approx(metric.mean(effect), abs=5 * drawn.std() / 400_000**0.5)
    if effect == 1:
        assert drawn.std() == pytest.approx(metric.sd(), rel=0.1)


def test_moments_at_a_look_are_those_of_the_units_that_had_come():
    units = Traffic(LATENCY, 0.3, 1_000).units(np.random.default_rng(3))
    at = looks(1_000, 300)

    for n, (champion, challenger) in zip(at, moments(units, at), strict=True):
        for arm, lane in ((champion, ~units.challenger), (challenger, units.challenger)):
            seen = units.outcome[:n][lane[:n]]
            assert arm.n == len(seen)
            assert arm.mean.item() == pytest.approx(seen.mean())
            assert arm.variance.item() == pytest.approx(seen.var(ddof=1))


def test_a_ramp_compares_those_whom_no_challenger_held():
    ramp = Ramp(n=40_000)
    _, came, counts = ramp.counts(np.random.default_rng(4))

    for arms, at, found in zip(ramp.arms(), came, counts, strict=True):
        n = found[-1].sum(axis=-1)
        assert n[1] / n.sum() == pytest.approx(arms.pi, abs=4 * (arms.pi / n.sum()) ** 0.5)
        assert (np.diff(at) > 0).all()
