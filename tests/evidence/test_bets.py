import math

import numpy as np
import pytest
from scipy.special import logsumexp

from evidence.bets import LOG_WEIGHTS, OFFSETS, BoundedMean, Plan, log_wealth, mixed, rho
from evidence.domain import InputError
from evidence.results import Side
from evidence.sequences import Epoch, confidence, evidence, log_e

COIN = BoundedMean((0.0, 1.0), sigma0=0.5)


def test_the_grid_is_that_of_the_law():
    assert OFFSETS.tolist() == [o / 2 for o in range(-14, 15)]
    assert logsumexp(LOG_WEIGHTS) == pytest.approx(0, abs=1e-12)
    assert np.exp(LOG_WEIGHTS - LOG_WEIGHTS[14]) == pytest.approx(1 / (1 + (OFFSETS / 2) ** 2))


def test_an_e_value_by_hand():
    """Three bettors on two tosses, written out."""
    stakes = np.array([0.1, 0.5, 3.0])  # the last is clipped to 1/2 / (0.4 - 0)

    found = log_wealth(np.array([1.0, 1.0]), np.array([0.0, 1.0]), 0.4, Side.ABOVE, stakes)

    by_hand = [math.log((1 - 0.4 * b) * (1 + 0.6 * b)) for b in (0.1, 0.5, 1.25)]
    assert found == pytest.approx(by_hand)


def test_mixing_is_a_log_sum_over_the_weights():
    wealth = np.random.default_rng(1).normal(scale=300, size=(4, 29))

    assert mixed(wealth) == pytest.approx(logsumexp(wealth + LOG_WEIGHTS, axis=-1), rel=1e-12)


@pytest.mark.parametrize("m", [0.2, 0.5, 0.9])
def test_no_factor_of_any_bettor_is_below_one_half(m):
    outcomes = np.array([0.0, 0.3, 1.0])

    for side in Side:
        each = log_wealth(np.eye(3), outcomes, m, side, Plan().stakes(1e-9))

        assert np.exp(each).min() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("m", "side", "worth"),
    [
        (1.0, Side.ABOVE, -700.0),  # a mean of at most the greatest outcome: cannot be refuted
        (1.5, Side.ABOVE, -700.0),
        (-0.1, Side.ABOVE, 700.0),  # a mean below the least outcome: impossible
        (0.0, Side.ABOVE, 700.0),  # a mean at the least outcome allows nothing else
        (0.0, Side.BELOW, -700.0),
        (1.1, Side.BELOW, 700.0),
    ],
)
def test_outside_the_range_nothing_is_clipped(m, side, worth):
    found = evidence([Epoch(COIN, [3, 5])], m, side, alpha=0.05)

    assert found.log_e == worth


def test_a_mean_at_the_least_outcome_stands_while_only_that_was_seen():
    wealth = COIN.log_wealth([7, 0], 0.0, Side.ABOVE)

    assert float(mixed(wealth)) == pytest.approx(0.0)


def test_an_impossible_null_in_one_epoch_outweighs_an_irrefutable_one():
    wide, narrow = BoundedMean((0.0, 2.0), sigma0=1), BoundedMean((1.5, 2.0), sigma0=1)
    epochs = [Epoch(COIN, [5, 5]), Epoch(wide, [5, 5]), Epoch(narrow, [1, 1])]

    assert log_e(epochs, 1.2, Side.ABOVE) > 700


def test_swapping_the_direction_of_an_outcome_swaps_the_sides():
    mirrored = BoundedMean((0.0, -1.0), sigma0=0.5)

    for side in Side:
        ours = COIN.log_wealth([20, 80], 0.6, side)

        assert (mirrored.log_wealth([20, 80], -0.6, side.other) == ours).all()


def test_the_unit_of_a_metric_does_not_matter():
    small = BoundedMean((-1e-6, 0.0, 2e-6), sigma0=1e-6)
    large = BoundedMean((-1.0, 0.0, 2.0), sigma0=1.0)
    cells = [40, 30, 55]

    a = confidence([Epoch(small, cells)], alpha=0.05)
    b = confidence([Epoch(large, cells)], alpha=0.05)

    assert a is not None
    assert b is not None
    assert (a.lower * 1e6, a.upper * 1e6) == pytest.approx((b.lower, b.upper), rel=1e-6)


def test_what_nobody_resolved_counts_against_either_claim():
    known = BoundedMean((0.0, 1.0, 0.0), sigma0=0.5)
    open_ended = BoundedMean((0.0, 1.0, 0.0), sigma0=0.5, high=(0.0, 1.0, 1.0))
    cells = [60, 20, 20]

    sure = confidence([Epoch(known, [80, 20, 0])], alpha=0.05)
    worst = confidence([Epoch(known, [60, 40, 0])], alpha=0.05)
    found = confidence([Epoch(open_ended, cells)], alpha=0.05)

    assert sure is not None
    assert worst is not None
    assert found is not None
    assert (found.lower, found.upper) == pytest.approx((sure.lower, worst.upper), abs=1e-8)


def test_planned_units_that_are_wrong_by_a_thousand_cost_little_width():
    """Half-width at n = 1000 n*: at most 1.35 x that of the right plan."""
    n = 1_000_000
    cells = [n // 2, n // 2]

    right = confidence([Epoch(BoundedMean((0, 1), 0.5, Plan(n_star=n)), cells)], alpha=0.05)
    wrong = confidence([Epoch(BoundedMean((0, 1), 0.5, Plan(n_star=n // 1000)), cells)], alpha=0.05)

    assert right is not None
    assert wrong is not None
    assert right.width < wrong.width < 1.35 * right.width


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: BoundedMean((1.0,), sigma0=1), "low"),
        (lambda: BoundedMean((1.0, 1.0), sigma0=1), "low"),
        (lambda: BoundedMean((0.0, math.nan), sigma0=1), "low"),
        (lambda: BoundedMean((0.0, math.inf), sigma0=1), "low"),
        (lambda: BoundedMean((0.0, 1.0), sigma0=0), "sigma0"),
        (lambda: BoundedMean((0.0, 1.0), sigma0=math.nan), "sigma0"),
        (lambda: BoundedMean((0.0, 1.0), sigma0=1, high=(0.0, 0.5)), "high"),
        (lambda: BoundedMean((0.0, 1.0), sigma0=1, high=(0.0,)), "high"),
        (lambda: Plan(n_star=0), "n_star"),
        (lambda: Plan(alpha=1.0), "alpha"),
        (lambda: rho(0.0, 10), "alpha"),
    ],
)
def test_a_parameter_outside_its_domain_is_named(make, argument):
    with pytest.raises(InputError) as refused:
        make()

    assert refused.value.argument == argument
    assert argument in str(refused.value)
