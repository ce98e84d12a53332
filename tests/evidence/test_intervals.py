"""Single looks against published tables, scipy, statsmodels where it is right, and likelihoods."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize_scalar
from statsmodels.stats.proportion import confint_proportions_2indep

from evidence.domain import InputError
from evidence.intervals import mcnemar, miettinen_nurminen, newcombe, welch, wilson
from evidence.moments import Moments
from evidence.results import Guarantee, Side

ALPHAS = st.floats(1e-4, 0.4)
ARMS = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))

# Newcombe (1998b), table II: the two proportions, method 10 (hybrid score), method 6 (MN).
NEWCOMBE = [
    ((56, 70), (48, 80), (0.0524, 0.3339), (0.0528, 0.3382)),
    ((9, 10), (3, 10), (0.1705, 0.8090), (0.1700, 0.8406)),
    ((6, 7), (2, 7), (0.0582, 0.8062), (0.0342, 0.8534)),
    ((5, 56), (0, 29), (-0.0381, 0.1926), (-0.0326, 0.1933)),
    ((0, 10), (0, 20), (-0.1611, 0.2775), (-0.1658, 0.2844)),
    ((0, 10), (0, 10), (-0.2775, 0.2775), (-0.2879, 0.2879)),
    ((10, 10), (0, 20), (0.6791, 1.0), (0.7156, 1.0)),
    ((10, 10), (0, 10), (0.6075, 1.0), (0.6636, 1.0)),
]
TABLE = pytest.mark.parametrize(("challenger", "champion", "hybrid", "score"), NEWCOMBE)


def ends(found) -> tuple[float, float]:
    return found.interval.lower, found.interval.upper


def likeliest(a: tuple[int, int], b: tuple[int, int], d: float) -> tuple[float, float]:
    """Constrained maximum likelihood by plain search; the oracle of the score test."""

    def surprise(p: float) -> float:
        return -sum(
            stats.binom.logpmf(k, n, min(max(share, 0.0), 1.0))
            for (k, n), share in ((a, p), (b, p + d))
        )

    low, high = max(0.0, -d), min(1.0, 1 - d)
    inner = minimize_scalar(
        surprise, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    )
    p = min([low, high, inner.x], key=surprise)
    return p, min(max(p + d, 0.0), 1.0)


@TABLE
def test_newcombes_table_is_reproduced(challenger, champion, hybrid, score):
    for found, expected in (
        (newcombe(champion, challenger, alpha=0.05), hybrid),
        (miettinen_nurminen(champion, challenger, alpha=0.05), score),
    ):
        assert ends(found) == pytest.approx(expected, abs=5.1e-5)
        assert found.n == champion[1] + challenger[1]
        assert found.guarantee is Guarantee.SINGLE


@pytest.mark.parametrize(
    ("challenger", "champion", "mee"),
    [
        ((56, 70), (48, 80), (0.0533, 0.3377)),
        ((9, 10), (3, 10), (0.1821, 0.8370)),
        ((6, 7), (2, 7), (0.0544, 0.8478)),
        ((5, 56), (0, 29), (-0.0313, 0.1926)),
        ((10, 10), (0, 20), (0.7225, 1.0)),
        ((10, 10), (0, 10), (0.6777, 1.0)),
    ],
)
def test_without_its_correction_the_score_interval_is_mees(challenger, champion, mee):
    total = champion[1] + challenger[1]
    z = stats.norm.isf(0.025) * math.sqrt((total - 1) / total)  # undoes N/(N-1) through alpha

    found = miettinen_nurminen(champion, challenger, alpha=2 * stats.norm.sf(z))

    assert ends(found) == pytest.approx(mee, abs=5.1e-5)


@given(ARMS, ALPHAS)
def test_wilson_is_that_of_scipy(arm, alpha):
    expected = stats.binomtest(*arm).proportion_ci(1 - alpha, method="wilson")

    assert ends(wilson(*arm, alpha=alpha)) == pytest.approx(tuple(expected), abs=1e-12)


@given(st.integers(1, 10**6), ALPHAS)
def test_wilson_ends_exactly_at_none_and_all(n, alpha):
    none, every = wilson(0, n, alpha=alpha), wilson(n, n, alpha=alpha)

    assert none.interval.lower == 0 < none.interval.upper
    assert every.interval.upper == 1 > every.interval.lower


@given(ARMS, ARMS, ALPHAS)
def test_newcombe_is_that_of_statsmodels(a, b, alpha):
    expected = confint_proportions_2indep(*b, *a, method="newcomb", compare="diff", alpha=alpha)

    assert ends(newcombe(a, b, alpha=alpha)) == pytest.approx(expected, abs=1e-10)


@given(ARMS, ARMS, st.floats(-0.95, 0.95))
def test_the_score_test_uses_the_most_likely_constrained_proportions(a, b, d):
    p, q = likeliest(a, b, d)
    total = a[1] + b[1]
    variance = (p * (1 - p) / a[1] + q * (1 - q) / b[1]) * total / (total - 1)
    gap = b[0] / b[1] - a[0] / a[1] - d
    assume(variance > 1e-6)

    found = miettinen_nurminen(a, b, effect=d, side=Side.ABOVE, alpha=0.05)

    assert found.p_value == pytest.approx(stats.norm.sf(gap / math.sqrt(variance)), abs=2e-5)


def test_the_null_of_no_difference_pools_the_arms():
    pooled = (56 + 48) / 150
    z = 0.2 / math.sqrt(pooled * (1 - pooled) * (1 / 70 + 1 / 80) * 150 / 149)

    found = miettinen_nurminen((48, 80), (56, 70), alpha=0.05)

    assert found.p_value == pytest.approx(2 * stats.norm.sf(z), rel=1e-9)


@given(ARMS, ARMS, st.floats(-0.99, 0.99), st.sampled_from([None, *Side]), ALPHAS)
def test_the_score_interval_holds_what_the_score_test_does_not_reject(a, b, d, side, alpha):
    found = miettinen_nurminen(a, b, effect=d, side=side, alpha=alpha)
    assume(min(abs(end - d) for end in ends(found)) > 1e-6)

    assert (found.p_value > alpha) == (d in found.interval)


@given(ARMS, ARMS, st.floats(-0.99, 0.99), ALPHAS)
def test_swapping_the_arms_mirrors_the_difference(a, b, d, alpha):
    for method in (newcombe, miettinen_nurminen):
        there, back = method(a, b, alpha=alpha), method(b, a, alpha=alpha)
        assert ends(back) == pytest.approx((-there.interval.upper, -there.interval.lower), abs=1e-8)
    there = miettinen_nurminen(a, b, effect=d, side=Side.ABOVE, alpha=alpha)
    back = miettinen_nurminen(b, a, effect=-d, side=Side.BELOW, alpha=alpha)

    assert back.p_value == pytest.approx(there.p_value, abs=1e-9)


@given(ARMS, ARMS, ALPHAS)
def test_intervals_of_a_difference_stay_possible_and_hold_the_estimate(a, b, alpha):
    for method in (newcombe, miettinen_nurminen):
        found = method(a, b, alpha=alpha)
        assert -1 <= found.interval.lower <= found.estimate <= found.interval.upper <= 1
        assert found.interval.width > 0


def test_two_arms_without_events_do_not_differ():
    found = miettinen_nurminen((0, 10), (0, 20), alpha=0.05)

    assert (found.estimate, found.p_value) == (0, 1)


def test_a_null_difference_too_small_to_see_is_no_difference():
    found = miettinen_nurminen((1, 1), (1, 1), effect=1e-209, alpha=0.05)

    assert found.p_value == 1


def test_a_tiny_null_difference_is_tested_as_if_it_were_none():
    none = miettinen_nurminen((3, 1000), (9, 1000), side=Side.ABOVE, alpha=0.05)
    tiny = miettinen_nurminen((3, 1000), (9, 1000), effect=1e-12, side=Side.ABOVE, alpha=0.05)

    assert tiny.p_value == pytest.approx(none.p_value, rel=1e-6)


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([None, *Side]), ALPHAS)
def test_mcnemar_is_the_exact_binomial_test(lost, won, side, alpha):
    assume(lost + won)
    kind = {None: "two-sided", Side.ABOVE: "greater", Side.BELOW: "less"}[side]
    expected = stats.binomtest(won, lost + won, alternative=kind)

    found = mcnemar(lost, won, side=side, alpha=alpha)

    assert found.p_value == expected.pvalue
    assert (found.p_value > alpha) == (0.5 in found.interval) or min(
        abs(end - 0.5) for end in ends(found)
    ) < 1e-9


def test_mcnemar_by_hand():
    found = mcnemar(0, 6, alpha=0.05)

    assert found.p_value == pytest.approx(2 / 2**6)
    assert ends(found) == pytest.approx((0.025 ** (1 / 6), 1))


MEANS = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20)


@given(MEANS, MEANS, st.floats(-10, 10), st.sampled_from([None, *Side]), ALPHAS)
def test_welch_is_that_of_scipy(a, b, effect, side, alpha):
    assume(np.std(a) > 1e-3 and np.std(b) > 1e-3)
    kind = {None: "two-sided", Side.ABOVE: "greater", Side.BELOW: "less"}[side]
    expected = stats.ttest_ind(np.array(b) - effect, a, equal_var=False, alternative=kind)

    found = welch(Moments.of(a), Moments.of(b), effect=effect, side=side, alpha=alpha)

    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-300)
    low, high = expected.confidence_interval(1 - alpha)
    assert ends(found) == pytest.approx((low + effect, high + effect), abs=1e-6)


def test_welch_takes_one_arm_without_spread():
    found = welch(Moments.of([1.0, 1.0, 1.0]), Moments.of([2.0, 3.0, 4.0]), alpha=0.05)

    expected = stats.ttest_1samp([2.0, 3.0, 4.0], 1.0)
    assert found.p_value == pytest.approx(expected.pvalue)


FLAT, PAIR = Moments.of([1.0, 1.0]), Moments.of([1.0, 2.0])


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: wilson(0, 0, alpha=0.05), "successes"),
        (lambda: wilson(3, 2, alpha=0.05), "successes"),
        (lambda: wilson(-1, 2, alpha=0.05), "successes"),
        (lambda: wilson(1.0, 2, alpha=0.05), "successes"),
        (lambda: wilson(1, 2, alpha=0.0), "alpha"),
        (lambda: newcombe((0, 0), (1, 2), alpha=0.05), "champion"),
        (lambda: newcombe((1, 2), (0, 0), alpha=0.05), "challenger"),
        (lambda: miettinen_nurminen((1, 2), (0, 0), alpha=0.05), "challenger"),
        (lambda: miettinen_nurminen((1, 2), (1, 2), effect=1.0, alpha=0.05), "effect"),
        (lambda: miettinen_nurminen((1, 2), (1, 2), effect=math.nan, alpha=0.05), "effect"),
        (lambda: miettinen_nurminen((1, 2), (1, 2), side=Side.ABOVE, alpha=0.5), "alpha"),
        (lambda: mcnemar(0, 0, alpha=0.05), "only_challenger"),
        (lambda: mcnemar(-1, 3, alpha=0.05), "only_champion"),
        (lambda: mcnemar(1, 3, alpha=1.0), "alpha"),
        (lambda: welch(Moments(), PAIR, alpha=0.05), "champion"),
        (lambda: welch(PAIR, Moments.of([1.0]), alpha=0.05), "challenger"),
        (lambda: welch(PAIR, Moments.of([[1.0, 2.0]] * 3), alpha=0.05), "challenger"),
        (lambda: welch(FLAT, FLAT, alpha=0.05), "champion"),
        (lambda: welch(PAIR, PAIR, effect=math.inf, alpha=0.05), "effect"),
    ],
)
def test_what_is_outside_the_domain_is_named(make, argument):
    with pytest.raises(InputError) as refused:
        make()

    assert refused.value.argument == argument
