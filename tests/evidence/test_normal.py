"""The e-value is the mixture that it claims to be, and the interval is its inverse."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from evidence.bets import rho
from evidence.domain import InputError
from evidence.normal import NormalTest
from evidence.results import Guarantee, Side

SIDES = st.sampled_from([None, *Side])
ALPHAS = st.floats(1e-6, 0.49)
SIZES = st.integers(1, 10**7)


def mixture(z: float, n: int, tuned: float, side: Side | None) -> float:
    """The e-value by numeric integration over the alternatives that it mixes."""

    def bettor(stake: float) -> float:
        return math.exp(stake * math.sqrt(n) * z - n * stake**2 / 2) * norm.pdf(stake, scale=tuned)

    best = abs(z) / math.sqrt(n)
    points = sorted({-12 * tuned, -best, 0.0, best, 12 * tuned})
    low = 0.0 if side is Side.ABOVE else -12 * tuned
    high = 0.0 if side is Side.BELOW else 12 * tuned
    inner = [p for p in points if low < p < high]
    whole = quad(bettor, low, high, points=inner, limit=500)[0]
    return whole if side is None else 2 * whole


@pytest.mark.parametrize("side", [None, *Side])
@pytest.mark.parametrize("z", [-4.0, -0.5, 0.0, 1.0, 3.5])
@pytest.mark.parametrize("n", [100, 20_000])
def test_the_e_value_is_the_mixture_over_normal_alternatives(side, z, n):
    tuned = rho(0.05 if side is None else 0.1, 5_000)

    found = NormalTest(effect=1.0, side=side, n_star=5_000).evidence(n, 1.0 + z * 0.25, 0.25)

    assert found.log_e == pytest.approx(math.log(mixture(z, n, tuned, side)), abs=1e-7)


@given(SIZES, st.floats(-8, 8), SIDES, ALPHAS, st.floats(10, 1e6))
def test_the_test_rejects_exactly_what_lies_outside_the_interval(n, z, side, alpha, n_star):
    question = NormalTest(effect=0.5, side=side, alpha=alpha, n_star=n_star)

    found = question.evidence(n, 0.5 + z, 1.0)

    near = min(abs(found.interval.lower - 0.5), abs(found.interval.upper - 0.5)) < 1e-6
    assert near or found.rejects == (0.5 not in found.interval)


@given(SIZES, ALPHAS, st.floats(10, 1e6))
def test_the_two_sided_half_width_is_equation_9(n, alpha, n_star):
    v = n * rho(alpha, n_star) ** 2
    expected = math.sqrt(2 * (v + 1) / v * math.log(math.sqrt(v + 1) / alpha))

    found = NormalTest(effect=0.0, alpha=alpha, n_star=n_star).evidence(n, 0.0, 1.0)

    assert found.interval.upper == pytest.approx(expected, rel=1e-9)
    assert found.interval.lower == -found.interval.upper


@given(SIZES, st.floats(1e-6, 0.05), st.floats(10, 1e6))
def test_one_sided_equation_134_is_valid_and_hardly_wider(n, alpha, n_star):
    v = n * rho(2 * alpha, n_star) ** 2
    published = math.sqrt(2 * (v + 1) / v * math.log1p(math.sqrt(v + 1) / (2 * alpha)))

    found = NormalTest(effect=0.0, side=Side.ABOVE, alpha=alpha, n_star=n_star).evidence(
        n, 0.0, 1.0
    )

    assert -found.interval.lower <= published <= 1.02 * -found.interval.lower
    assert found.interval.upper == math.inf


@given(SIZES, st.floats(-40, 40), st.floats(0, 40))
def test_one_sided_evidence_grows_with_the_estimate_and_mirrors(n, z, more):
    above, below = (NormalTest(effect=0.0, side=side) for side in Side)

    assert above.evidence(n, z + more, 1.0).log_e >= above.evidence(n, z, 1.0).log_e - 1e-9
    assert below.evidence(n, -z, 1.0).log_e == above.evidence(n, z, 1.0).log_e


def test_evidence_far_on_the_null_side_is_a_number():
    found = NormalTest(effect=0.0, side=Side.ABOVE).evidence(20_000, -1e12, 1.0)

    assert -60 < found.log_e < 0


def test_the_plan_is_where_the_sequence_is_tightest():
    def width(n: int, n_star: float) -> float:
        return NormalTest(effect=0.0, n_star=n_star).evidence(n, 0.0, 1.0).interval.width

    assert min((1e3, 3e3, 1e4, 3e4, 1e5), key=lambda n_star: width(10_000, n_star)) == 1e4


def test_the_answer_says_that_it_is_asymptotic():
    found = NormalTest(effect=0.0).evidence(5_000, 0.0, 1.0)

    assert found.guarantee is Guarantee.GATED
    assert "asymptotic" in found.assumes[0]


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"effect": math.nan}, "effect"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": 0.5, "side": Side.BELOW}, "alpha"),
        ({"n_star": 0.0}, "n_star"),
    ],
)
def test_a_parameter_out_of_range_is_named(change, argument):
    with pytest.raises(InputError) as refused:
        NormalTest(**{"effect": 0.0, **change})

    assert refused.value.argument == argument


@pytest.mark.parametrize(
    ("n", "se", "argument"), [(0, 1.0, "n"), (9, 0.0, "se"), (9, math.nan, "se")]
)
def test_an_estimate_without_a_standard_error_is_refused(n, se, argument):
    with pytest.raises(InputError) as refused:
        NormalTest(effect=0.0).evidence(n, 0.0, se)

    assert refused.value.argument == argument
