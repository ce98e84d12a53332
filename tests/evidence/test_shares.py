import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import beta, dirichlet_multinomial, multinomial

from evidence.domain import InputError
from evidence.results import Side
from evidence.shares import Beta, log_e_share, log_e_split, share, share_interval


@pytest.mark.parametrize(("k", "n", "p0"), [(8, 10, 0.5), (3, 40, 0.1), (0, 25, 0.02)])
@pytest.mark.parametrize("prior", [Beta(), Beta(2.0, 18.0)])
def test_the_closed_form_is_the_integral_over_the_prior(k, n, p0, prior):
    """Oracle: quadrature of the likelihood ratio against scipy's beta density."""
    density = beta(prior.a, prior.b)

    def weighted(theta):
        ratio = k * math.log(theta / p0) + (n - k) * math.log((1 - theta) / (1 - p0))
        return math.exp(ratio) * density.pdf(theta)

    both = quad(weighted, 0, 1, points=[p0], limit=400)[0]
    above = quad(weighted, p0, 1, limit=400)[0] / density.sf(p0)

    assert float(log_e_share(k, n, p0, None, prior)) == pytest.approx(math.log(both), abs=1e-6)
    assert float(log_e_share(k, n, p0, Side.ABOVE, prior)) == pytest.approx(
        math.log(above), abs=1e-6
    )


def test_the_two_sides_recombine_to_both_by_their_prior_weights():
    prior = Beta(2.0, 6.0)
    above, below = beta(2, 6).sf(0.3), beta(2, 6).cdf(0.3)

    parts = np.log([above, below]) + [
        float(log_e_share(12, 30, 0.3, side, prior)) for side in (Side.ABOVE, Side.BELOW)
    ]

    assert np.logaddexp(*parts) == pytest.approx(float(log_e_share(12, 30, 0.3, None, prior)))


@given(k=st.integers(0, 10**6), extra=st.integers(0, 10**6), p0=st.floats(1e-6, 1 - 1e-6))
def test_evidence_stays_finite_however_unlikely_the_counts(k, extra, p0):
    for side in (None, *Side):
        assert math.isfinite(float(log_e_share(k, k + extra, p0, side)))


def test_a_tail_that_a_float_cannot_hold_is_still_right():
    """k = 10 of 100,000 against 1 %: P(Beta > p0) = e^-953, where ln betaincc says -inf.

    Oracle: the leading terms of the binomial tail, summed by hand in logs.
    """
    k, n, p0 = 10, 100_000, 0.01
    prior = Beta(1.0, 1.0)  # then P(Beta(k + 1, n - k + 1) > p0) = P(Binomial(n + 1, p0) <= k)
    i = np.arange(k + 1)
    terms = -betaln(i + 1, n + 2 - i) - math.log(n + 2) + i * math.log(p0)
    tail = np.logaddexp.reduce(terms + (n + 1 - i) * math.log1p(-p0))

    one_sided = float(log_e_share(k, n, p0, Side.ABOVE, prior))

    both = float(log_e_share(k, n, p0, None, prior))
    assert one_sided == pytest.approx(both + tail - math.log(1 - p0), abs=1e-6)
    assert one_sided < 0


@pytest.mark.parametrize(("k", "n"), [(0, 50), (50, 50), (1, 10**6), (7, 12), (500, 1000)])
def test_a_share_interval_ends_where_its_evidence_does(k, n):
    found = share_interval(k, n, alpha=0.05)

    for end in (found.lower, found.upper):
        if 0 < end < 1:
            assert float(log_e_share(k, n, end)) == pytest.approx(math.log(20), abs=1e-4)
    assert k / n in found


def test_a_share_of_nothing_is_unknown():
    found = share(0, 0, 0.5, Side.ABOVE, alpha=0.05)

    assert (found.estimate, found.log_e) == (None, pytest.approx(0.0))
    assert (found.interval.lower, found.interval.upper) == (0.0, 1.0)


def test_the_split_is_a_dirichlet_multinomial_over_a_multinomial():
    """Oracle: scipy's dirichlet_multinomial and multinomial."""
    counts, p = np.array([30, 60, 10]), np.array([0.3, 0.5, 0.2])
    logs = [
        dirichlet_multinomial.logpmf(counts, k * p, 100) - multinomial.logpmf(counts, 100, p)
        for k in (100, 1_000, 10_000)
    ]

    found = float(log_e_split([counts], [p.tolist()]))

    assert found == pytest.approx(np.logaddexp.reduce(logs) - math.log(3))


def test_the_batches_in_which_units_arrive_do_not_matter_to_the_split():
    whole = log_e_split([[520, 480]], [[0.5, 0.5]])
    growing = log_e_split([np.array([[100, 90], [520, 480]])], [[0.5, 0.5]])

    assert float(growing[-1]) == float(whole)


@pytest.mark.parametrize("off", [0.45, 0.49])
def test_a_broken_split_is_found_in_about_the_units_that_the_design_measured(off):
    """Medians for 1/2 -> .45: within the mixture of 1,517 / 2,045 / 4,623; -> .49: 39,500."""
    most = {0.45: 5_000, 0.49: 90_000}[off]
    stops = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        first = np.cumsum(rng.random(most) < off)
        counts = np.stack([first, np.arange(1, most + 1) - first], axis=-1)
        said = log_e_split([counts], [[0.5, 0.5]]) >= math.log(1000)
        stops.append(int(np.argmax(said)) if said.any() else most)

    median = float(np.median(stops))

    assert {0.45: 1_400, 0.49: 33_000}[off] < median < {0.45: 2_400, 0.49: 52_000}[off]


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: log_e_share(3, 2, 0.5), "successes"),
        (lambda: log_e_share(-1, 2, 0.5), "successes"),
        (lambda: log_e_share(1, 2, 0.0), "p0"),
        (lambda: log_e_share(1, 2, 1.0), "p0"),
        (lambda: share_interval(3, 2, alpha=0.05), "successes"),
        (lambda: share_interval(1, 2, alpha=0.0), "alpha"),
        (lambda: Beta(0.0, 1.0), "a"),
        (lambda: log_e_split([], []), "shares"),
        (lambda: log_e_split([[1, 2]], [[0.5, 0.6]]), "shares"),
        (lambda: log_e_split([[1, 2]], [[1.0, 0.0]]), "shares"),
        (lambda: log_e_split([[1, 2, 3]], [[0.5, 0.5]]), "cells"),
        (lambda: log_e_split([[1, 2]], [[0.5, 0.5]], (0.0,)), "concentrations"),
    ],
)
def test_a_value_outside_its_domain_is_named(call, argument):
    with pytest.raises(InputError) as refused:
        call()

    assert refused.value.argument == argument
