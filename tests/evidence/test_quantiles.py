"""Quantiles from histograms: exact coverage by enumeration, and published bounds."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import quantile_test

from evidence.buckets import LogBuckets
from evidence.cells import Cells
from evidence.domain import InputError
from evidence.quantiles import (
    exceedances,
    frozen_threshold,
    log_e_slower,
    quantile,
    quantile_interval,
)
from evidence.results import Side
from evidence.risks import OneArmShare
from evidence.sequences import Epoch, evidence
from evidence.shares import Beta, log_e_share

EDGES = (1.0, 2.0, 3.0, 5.0)
histograms = st.lists(st.one_of(st.integers(0, 400), st.just(0)), min_size=5, max_size=5)
shares = st.sampled_from([0.05, 0.1, 0.5, 0.9, 0.95])


def tuned(p, v, alpha):
    """The prior of confseq's one-sided beta-binomial mixture, made for variance v and level alpha.

    `uniform_boundaries.h`: rho = v / (2 ln(1/2a) + ln(1 + 2 ln(1/2a))), Beta(r / (1-p), r / p).
    """
    log = 2 * math.log(1 / (2 * alpha))
    r = v / (log + math.log1p(log)) - p * (1 - p)
    return Beta(r / (1 - p), r / p)


# Laws


@given(histograms, shares, st.sampled_from([0.01, 0.05, 0.5]))
def test_the_interval_ends_where_a_look_at_every_edge_says(cells, q, alpha):
    found = quantile_interval(cells, EDGES, q, alpha=alpha)

    tests = {
        side: [quantile(cells, EDGES, q, edge, side, alpha=alpha / 2) for edge in EDGES]
        for side in Side
    }
    above = [e for e, test in zip(EDGES, tests[Side.ABOVE], strict=True) if test.rejects]
    below = [e for e, test in zip(EDGES, tests[Side.BELOW], strict=True) if test.rejects]
    assert found.lower == max(above, default=-math.inf)
    assert found.upper == min(below, default=math.inf)


@given(histograms, shares)
def test_the_estimate_is_in_the_interval_and_is_the_threshold_to_freeze(cells, q):
    found = quantile(cells, EDGES, q, 2.0, Side.ABOVE, alpha=0.05)

    if found.estimate is None:
        assert sum(cells) == 0
    elif math.isinf(found.estimate):
        assert found.interval.upper == math.inf
    else:
        assert found.estimate in found.interval
        assert frozen_threshold(cells, EDGES, q) == found.estimate


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=60), shares)
def test_a_frozen_threshold_is_the_edge_just_above_the_sample_quantile(values, q):
    buckets = LogBuckets(least=0.1, greatest=1e4)
    cells = np.bincount(buckets.of(values), minlength=buckets.count)

    threshold = frozen_threshold(cells, buckets.edges, q)

    exact = np.quantile(values, q, method="inverted_cdf")
    assert exact <= threshold <= exact * buckets.gamma * (1 + 1e-9)


def test_seven_of_a_hundred_reach_the_seven_percent_quantile():
    assert frozen_threshold([7, 93, 0], [1.0, 2.0], 0.07) == 1.0


@given(st.lists(st.floats(0, 7), max_size=40))
def test_exceedances_are_those_of_the_values(values):
    cells = np.bincount(np.searchsorted(EDGES, values), minlength=5)

    found = exceedances([cells, 2 * cells], EDGES, [2.0, 5.0])

    beyond = [sum(value > t for value in values) for t in (2.0, 5.0)]
    assert found[0, :, 1].tolist() == beyond
    assert (found[1] == 2 * found[0]).all()
    assert (found[0].sum(axis=-1) == len(values)).all()


# Error rates, exactly


@pytest.mark.parametrize(
    ("q", "true", "p"),  # p is the law of the values 1, 2 and 3
    [(0.5, 2.0, (0.48, 0.04, 0.48)), (0.71, 3.0, (0.3, 0.4, 0.3)), (0.29, 1.0, (0.3, 0.4, 0.3))],
)
def test_looking_after_every_value_the_interval_misses_with_at_most_alpha(q, true, p):
    chance = {(0, 0, 0): 1.0}
    missed = 0.0

    for _ in range(24):
        grown: dict[tuple[int, ...], float] = {}
        for cells, mass in chance.items():
            for bucket in range(3):
                more = tuple(n + (i == bucket) for i, n in enumerate(cells))
                grown[more] = grown.get(more, 0.0) + mass * p[bucket]
        chance = {}
        for cells, mass in grown.items():
            found = quantile_interval([*cells, 0], [1.0, 2.0, 3.0], q, alpha=0.5)
            if found.lower < true <= found.upper:
                chance[cells] = mass
            else:
                missed += mass

    assert 0.03 < missed <= 0.5
    assert math.isclose(missed + sum(chance.values()), 1)


def every_pair(pi, beyond, n):
    """All ways in which n units fall into arms and buckets: histograms, and their probabilities.

    Args:
        beyond: for each arm the law over buckets.
    """
    law = np.array([np.multiply(1 - pi, beyond[0]), np.multiply(pi, beyond[1])])
    buckets = law.shape[1]
    cells = np.array(
        [
            np.bincount(units, minlength=law.size)
            for units in itertools.product(range(law.size), repeat=n)
        ]
    )
    return cells.reshape(-1, 2, buckets), np.prod(law.ravel() ** cells, axis=1)


@pytest.mark.parametrize("pi", [0.5, 0.1])
def test_equal_arms_give_an_e_value_of_mean_one_and_a_faster_challenger_less(pi):
    same, faster = [0.5, 0.3, 0.2], [0.6, 0.3, 0.1]

    def mean(challenger):
        cells, chance = every_pair(pi, [same, challenger], 5)
        assert math.isclose(chance.sum(), 1)
        return chance @ np.exp(log_e_slower([cells], [pi], [1.0, 2.0], [1.0, 2.0]))

    assert math.isclose(mean(same), 1)
    assert mean(faster) < 1


def test_over_two_epochs_with_different_assignment_the_mean_stays_one():
    law = [0.6, 0.4]
    first, chance = every_pair(0.2, [law, law], 3)
    second, later = every_pair(0.5, [law, law], 3)
    pairs = np.multiply.outer(chance, later)

    log_e = log_e_slower(
        [np.repeat(first, len(second), axis=0), np.tile(second, (len(first), 1, 1))],
        [0.2, 0.5],
        [1.0],
        [1.0],
    )

    assert math.isclose(pairs.ravel() @ np.exp(log_e), 1)


# Oracles


def test_confseqs_published_mixture_values_are_ours():
    # confseq, test/uniform_boundaries_unittest.cpp: TestOneSidedBetaBinomialMixture,
    # log_superMG(10, 100) = -0.07134019 for p = 0.2, where v = n p (1 - p): n = 625, k = 135.
    prior = tuned(0.2, v=100, alpha=0.05)

    assert abs(log_e_share(135, 625, 0.2, Side.ABOVE, prior) - -0.07134019) < 1e-5


def test_confseqs_published_bound_gives_the_same_order_statistics():
    # The same test: bound(100, ln 20) = 28.41238, so 125 + 28.41 of 625 values are needed.
    values = np.arange(1.0, 626.0)
    cells = [1] * 625 + [0]

    upper = quantile_interval(cells, values, 0.2, alpha=0.1, prior=tuned(0.2, 100, 0.05)).upper
    prior = tuned(0.2, 100, 0.05)
    lower = quantile_interval(cells, values, 0.8, alpha=0.1, prior=Beta(prior.b, prior.a)).lower

    assert upper == math.ceil(125 + 28.41238)
    assert lower == 625 - math.ceil(125 + 28.41238)


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_a_sequence_holds_the_single_look_interval_of_scipy_and_is_not_much_wider(q):
    values = np.random.default_rng(4).lognormal(3, 1, size=20_000)
    buckets = LogBuckets(least=0.01, greatest=1e5)
    cells = np.bincount(buckets.of(values), minlength=buckets.count)

    found = quantile_interval(cells, buckets.edges, q, alpha=0.05)

    once = quantile_test(values, p=q).confidence_interval(0.95)
    assert found.lower <= once.low <= once.high <= found.upper
    assert math.log(found.upper / found.lower) < 2.5 * math.log(once.high / once.low) + 0.04


# What it is for


def test_a_quantile_ceiling_speaks_both_ways_and_through_epochs():
    within = quantile([800, 180, 20], [100.0, 200.0], 0.95, 200.0, Side.BELOW, alpha=0.05)
    beyond = quantile([800, 100, 100], [100.0, 200.0], 0.95, 200.0, Side.ABOVE, alpha=0.05)
    epochs = [
        Epoch(OneArmShare(), exceedances(cells, [100.0, 200.0], [200.0])[0])
        for cells in ([400, 90, 10], [400, 90, 10])
    ]

    assert (within.rejects, within.n, within.estimate) == (True, 1_000, 200.0)
    assert (beyond.rejects, beyond.estimate) == (True, math.inf)
    assert beyond.interval.upper == math.inf
    assert evidence(epochs, 0.05, Side.BELOW, alpha=0.05).rejects


def test_a_slower_tail_is_found_where_the_median_is_the_same():
    champion, challenger = [5_000, 4_900, 100], [5_000, 4_800, 200]

    both = log_e_slower([[champion, challenger]], [0.5], [10.0, 99.0], [10.0, 99.0])
    median = log_e_slower([[champion, challenger]], [0.5], [10.0, 99.0], [10.0])
    mirrored = log_e_slower([[challenger, champion]], [0.5], [10.0, 99.0], [10.0, 99.0])

    assert both > math.log(20) > 0 > median
    assert mirrored < 0


def test_an_empty_epoch_changes_nothing():
    arms = [[9_000, 1_000], [8_800, 1_200]]

    with_empty = log_e_slower([Cells(arms), Cells()], [0.5, 0.1], [9.0], [9.0])

    assert with_empty == log_e_slower([arms], [0.5], [9.0], [9.0])


def test_a_tolerated_ratio_is_tolerated():
    arms = [[9_000, 1_000], [8_800, 1_200]]

    strict, lenient = (log_e_slower([arms], [0.5], [9.0], [9.0], ratio=r) for r in (1.0, 1.3))

    assert strict > math.log(20)
    assert lenient < 0


def test_without_values_nothing_is_said():
    found = quantile(Cells(), EDGES, 0.5, 2.0, Side.ABOVE, alpha=0.05)

    assert (found.n, found.estimate, found.log_e) == (0, None, 0.0)
    assert (found.interval.lower, found.interval.upper) == (-math.inf, math.inf)


def test_an_interval_on_a_thousand_buckets_of_a_billion_values_is_found():
    buckets = LogBuckets(least=0.001, greatest=500_000.0)
    cells = np.full(buckets.count, 10**6)

    found = quantile_interval(cells, buckets.edges, 0.5, alpha=0.05)

    assert found.lower < frozen_threshold(cells, buckets.edges, 0.5) <= found.upper
    assert found.upper / found.lower < buckets.gamma**2.5


ONE = [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("edges", lambda: quantile_interval(ONE, [1.0, 1.0, 2.0, 3.0], 0.5, alpha=0.05)),
        ("edges", lambda: quantile_interval(ONE, [1.0, math.nan, 2.0, 3.0], 0.5, alpha=0.05)),
        ("cells", lambda: quantile_interval(ONE, EDGES[:3], 0.5, alpha=0.05)),
        ("cells", lambda: quantile_interval([ONE, ONE], EDGES, 0.5, alpha=0.05)),
        ("q", lambda: quantile_interval(ONE, EDGES, 1.0, alpha=0.05)),
        ("alpha", lambda: quantile_interval(ONE, EDGES, 0.5, alpha=0.0)),
        ("thresholds", lambda: exceedances(ONE, EDGES, [2.5])),
        ("thresholds", lambda: exceedances(ONE, EDGES, [9.0])),
        ("thresholds", lambda: quantile(ONE, EDGES, 0.5, 2.5, Side.ABOVE, alpha=0.05)),
        ("cells", lambda: frozen_threshold(Cells(), EDGES, 0.5)),
        ("edges", lambda: frozen_threshold([0, 0, 0, 0, 9], EDGES, 0.5)),
        ("pis", lambda: log_e_slower([], [], EDGES, [2.0])),
        ("pis", lambda: log_e_slower([[ONE, ONE]], [0.5, 0.5], EDGES, [2.0])),
        ("cells", lambda: log_e_slower([ONE], [0.5], EDGES, [2.0])),
        ("cells", lambda: log_e_slower([[ONE, ONE, ONE]], [0.5], EDGES, [2.0])),
        ("pi", lambda: log_e_slower([[ONE, ONE]], [1.0], EDGES, [2.0])),
        ("ratio", lambda: log_e_slower([[ONE, ONE]], [0.5], EDGES, [2.0], ratio=0.0)),
        ("thresholds", lambda: log_e_slower([[ONE, ONE]], [0.5], EDGES, [])),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(argument, call):
    with pytest.raises(InputError) as refused:
        call()

    assert refused.value.argument == argument
