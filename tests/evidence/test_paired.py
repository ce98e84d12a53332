import math

import numpy as np
import pytest
from scipy.stats import binomtest

from evidence.bets import Plan
from evidence.domain import InputError
from evidence.paired import Pair, PairedDifference, PairedRatio, Pairs, spread, superiority
from evidence.results import Side
from evidence.sequences import Epoch, bound, confidence, log_e

PLAIN = Pairs(sigma0=0.25, plan=Plan(n_star=10_000))


@pytest.mark.parametrize("d", [-0.02, 0.0, 0.02])
def test_swapping_the_models_swaps_the_sides(d):
    test = PairedDifference(PLAIN)
    cells = np.array([[200, 400, 50, 9_340, 10]])
    swapped = cells[:, [1, 0, 2, 3, 4]]

    for side in Side:
        ours, theirs = (
            log_e([Epoch(test, cells)], d, side),
            log_e([Epoch(test, swapped)], -d, side.other),
        )

        assert float(ours) == pytest.approx(float(theirs), rel=1e-9)


def test_a_weighted_pair_is_worth_its_expectation():
    """E[x] = error_B - r error_A under sampling, from the cells' exact probabilities."""
    q = np.array([1.0, 0.5, 0.1])
    truth = np.array([[0.02, 0.03, 0.01, 0.14], [0.05, 0.02, 0.0, 0.23], [0.0, 0.0, 0.04, 0.46]])
    pairs = Pairs(q=tuple(q.tolist()), sigma0=0.5)
    seen = truth * q[:, None]
    cells = np.zeros((3, 5))
    cells[:, :4] = seen
    cells[:, Pair.EQUAL] += (truth * (1 - q[:, None])).sum(axis=1)  # nobody looked

    n, challenger, champion = pairs.losses((cells * 1_000_000).round().astype(np.int64))

    assert n == 1_000_000
    assert challenger / n == pytest.approx(truth[:, [0, 2]].sum())
    assert champion / n == pytest.approx(truth[:, [1, 2]].sum())


def test_agreements_tell_about_the_difference_without_a_label():
    """The interval of a difference closes in with pairs that agree; nobody labelled them."""
    few, many = [[20, 30, 0, 950, 0]], [[20, 30, 0, 99_950, 0]]
    test = PairedDifference(PLAIN)

    widths = [confidence([Epoch(test, cells)], alpha=0.05) for cells in (few, many)]

    assert widths[0] is not None
    assert widths[1] is not None
    assert widths[1].width < widths[0].width / 10


def test_what_nobody_resolved_stands_against_either_claim():
    test = PairedDifference(PLAIN)
    open_pairs = [[100, 100, 0, 9_700, 100]]

    upper = bound([Epoch(test, open_pairs)], Side.BELOW, alpha=0.05)
    lower = bound([Epoch(test, open_pairs)], Side.ABOVE, alpha=0.05)

    assert upper == pytest.approx(
        bound([Epoch(test, [[200, 100, 0, 9_700, 0]])], Side.BELOW, alpha=0.05)
    )
    assert lower == pytest.approx(
        bound([Epoch(test, [[100, 200, 0, 9_700, 0]])], Side.ABOVE, alpha=0.05)
    )


def test_errors_that_both_make_count_in_a_ratio_only():
    without, shared = [[30, 60, 0, 9_910, 0]], [[30, 60, 500, 9_410, 0]]

    assert PairedDifference(PLAIN).estimate(without) == PairedDifference(PLAIN).estimate(shared)
    assert PairedRatio(PLAIN).estimate(without) == pytest.approx(0.5)
    assert PairedRatio(PLAIN).estimate(shared) == pytest.approx(530 / 560)


def test_a_ratio_over_no_errors_is_infinite_or_unknown():
    assert PairedRatio(PLAIN).estimate([[3, 0, 0, 97, 0]]) == math.inf
    assert PairedRatio(PLAIN).estimate([[0, 0, 0, 100, 0]]) is None


def test_sequential_mcnemar_needs_more_than_the_exact_test_at_one_look():
    """Looking always costs: it rejects later than scipy's single look, but on the same side."""
    single = next(n for n in range(10, 400) if binomtest(int(0.35 * n), n, 0.5).pvalue <= 0.05)
    always = next(
        n for n in range(10, 400)
        if superiority(int(0.35 * n), n - int(0.35 * n), alpha=0.05).rejects
    )  # fmt: skip

    assert single < always < 3 * single
    assert not superiority(200, 100, alpha=0.05).rejects


def test_the_spread_of_two_audit_rates():
    assert spread([0.06], [1.0]) == pytest.approx(math.sqrt(0.06))
    assert spread([0.03, 0.03], [1.0, 0.5]) == pytest.approx(math.sqrt(0.09))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: Pairs(q=(), sigma0=1), "q"),
        (lambda: Pairs(q=(0.0,), sigma0=1), "q"),
        (lambda: Pairs(q=(1.5,), sigma0=1), "q"),
        (lambda: Pairs(sigma0=0.0), "sigma0"),
        (lambda: superiority(-1, 2, alpha=0.05), "successes"),
        (lambda: spread([0.1], [1.0, 0.5]), "discordant"),
        (lambda: spread([0.0], [1.0]), "discordant"),
        (lambda: PairedDifference(PLAIN).units([[1, 2, 3]]), "cells"),
    ],
)
def test_a_value_outside_its_domain_is_named(call, argument):
    with pytest.raises(InputError) as refused:
        call()

    assert refused.value.argument == argument
