"""The copies of peers' rules do what the rules say, on cases worked by hand."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, ttest_ind

from benchmarks import peers
from benchmarks.controllers import Decided, Kayenta, argo, flagger, shift
from benchmarks.metrics import LATENCY, ErrorRate
from benchmarks.peers import Seen
from benchmarks.scenarios import Traffic, Units
from benchmarks.simulation import looks
from evidence.normal import NormalTest
from evidence.results import Side


@pytest.fixture
def units() -> Units:
    return Traffic(LATENCY, 0.3, 5_000, effect=1.1).units(np.random.default_rng(1))


@pytest.mark.parametrize("side", [None, *Side])
def test_the_z_test_is_welchs_in_large_samples(units, side):
    at = looks(5_000, 1_000)
    seen = Seen.of(units, at)
    alternative = {None: "two-sided", Side.ABOVE: "greater", Side.BELOW: "less"}[side]

    said = peers.z_test(seen, 0.0, side)

    for n, found in zip(at, said, strict=True):
        arms = units.outcome[:n][units.challenger[:n]], units.outcome[:n][~units.challenger[:n]]
        assert found == (ttest_ind(*arms, equal_var=False, alternative=alternative).pvalue < 0.05)


def test_the_asymptotic_sequence_is_that_of_equation_9(units):
    at = looks(5_000, 100)
    seen = Seen.of(units, at)
    gap, variance = seen.difference()

    for effect in (-0.3, 0.0, 0.1, 0.5):
        question = NormalTest(effect=effect, n_star=5_000)
        expected = [
            question.evidence(n, d, v**0.5).rejects and few >= 100
            for n, d, v, few in zip(at.tolist(), gap, variance, seen.n.min(axis=1), strict=True)
        ]
        assert peers.asymptotic(seen, effect, None).tolist() == expected


def test_a_lift_has_the_variance_of_the_delta_method():
    seen = Seen(np.array([[400.0, 100.0]]), np.array([[2.0, 3.0]]), np.array([[4.0, 9.0]]))

    lift, variance = seen.lift()

    assert lift == pytest.approx(0.5)
    assert variance == pytest.approx(9 / 100 / 4 + 9 * 4 / 400 / 16)


def test_growthbooks_gate_opens_at_150_of_either_arm():
    units = Units(np.arange(4_000) % 10 == 0, (np.arange(4_000) % 10 < 2).astype(float))
    at = looks(4_000, 10)

    seen = Seen.of(units, at)
    free, gated = (test(seen, 0.0, Side.ABOVE) for test in (peers.asymptotic, peers.growthbook))

    reached = seen.total.max(axis=1) >= 150
    assert (gated == (free & reached)).all()
    assert free[~reached].any()
    assert gated.any()


def test_mcnemar_rejects_beyond_3_84():
    b, c = np.array([30, 30]), np.array([17, 15])

    assert peers.mcnemar(b, c, None).tolist() == [False, True]
    assert peers.mcnemar(c, b, Side.ABOVE).tolist() == [False, False]


def checks(bad: list[int], requests: int = 20) -> Units:
    """All units are the canary's; one request of each named check fails."""
    outcome = np.zeros((20, requests))
    outcome[bad, 0] = 1
    return Units(np.ones(20 * requests, dtype=bool), outcome.ravel())


@pytest.mark.parametrize(
    ("bad", "decided"),
    [
        ([], Decided(None, 200)),
        ([0, 1, 2, 3], Decided(None, 280)),
        ([0, 1, 2, 3, 4], Decided(100, None)),
        ([0, 3, 6, 9, 12], Decided(260, None)),
        ([10, 11, 12, 13, 14], Decided(None, 200)),
    ],
)
def test_flagger_forgets_no_failed_check(bad, decided):
    assert flagger(0.01, 20)(checks(bad)) == decided


@pytest.mark.parametrize(
    ("bad", "decided"),
    [([0, 1, 2], Decided(None, 200)), ([0, 1, 2, 9], Decided(200, None)), ([], Decided(None, 200))],
)
def test_argo_rollouts_fails_beyond_the_failure_limit(bad, decided):
    assert argo(0.01, 20)(checks(bad)) == decided


def test_a_check_at_its_limit_has_passed():
    assert flagger(0.05, 20)(checks(list(range(20)))) == Decided(None, 200)


def test_kayenta_agrees_with_the_mann_whitney_test():
    """Lower end above 0 is p < 1 % one-sided, but for the continuity correction of a rank."""
    rng = np.random.default_rng(5)

    agreed = []
    for _ in range(300):
        x, y = rng.normal(0.9, 1, 20), rng.normal(0, 1, 20)
        p = mannwhitneyu(x, y, alternative="greater", method="asymptotic").pvalue
        if abs(p - 0.01) > 0.002:
            agreed.append((shift(x, y)[0] > 0) == (p < 0.01))

    assert all(agreed)


def test_kayenta_promotes_a_canary_that_no_look_failed():
    units = Traffic(ErrorRate(0.2), 0.5, 6_000).units(np.random.default_rng(6))
    worse = Units(units.challenger, units.outcome + units.challenger)

    assert Kayenta(100)(units) == Decided(None, 6_000)
    assert Kayenta(100)(worse) == Decided(1_200, None)
    assert Kayenta(100, higher_is_worse=False)(worse) == Decided(None, 6_000)
