"""Many tests at once: definitions by brute force, error rates by exact enumeration."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from evidence.domain import InputError
from evidence.multiplicity import attempt_level, average, bh, calibrated, e_bh, e_holm, holm

logs = st.one_of(st.floats(-700, 700), st.floats(-1, 6), st.sampled_from([-math.inf, math.inf]))
families = st.lists(logs, min_size=1, max_size=12)
tables = st.lists(st.one_of(st.floats(0, 1), st.floats(0, 0.02)), min_size=1, max_size=12)
rates = st.sampled_from([0.01, 0.05, 0.1, 0.3])
E_RULES = [lambda log_e, rate: e_bh(log_e, fdr=rate), lambda log_e, rate: e_holm(log_e, alpha=rate)]


# Laws


@given(families, rates, st.data())
@pytest.mark.parametrize("rule", E_RULES, ids=["e_bh", "e_holm"])
def test_when_evidence_grows_nothing_that_was_rejected_is_let_go(rule, family, rate, data):
    more = list(family)
    at = data.draw(st.integers(0, len(family) - 1))
    more[at] += data.draw(st.floats(0, 50))

    before, after = rule(family, rate), rule(more, rate)

    assert (before <= after).all()


@given(families, rates, st.randoms(use_true_random=False))
@pytest.mark.parametrize("rule", E_RULES, ids=["e_bh", "e_holm"])
def test_the_order_of_hypotheses_does_not_matter(rule, family, rate, random):
    order = list(range(len(family)))
    random.shuffle(order)

    assert rule(np.array(family)[order], rate).tolist() == rule(family, rate)[order].tolist()


@given(families, rates)
def test_e_holm_rejects_no_more_than_e_bh_at_the_same_level(family, rate):
    assert (e_holm(family, alpha=rate) <= e_bh(family, fdr=rate)).all()


@given(logs, rates)
def test_a_single_hypothesis_is_rejected_at_one_over_alpha(log_e, rate):
    alone = log_e >= -math.log(rate)

    assert e_bh([log_e], fdr=rate).tolist() == e_holm([log_e], alpha=rate).tolist() == [alone]


# Definitions


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8), st.sampled_from([2, 10, 20]))
def test_e_bh_is_its_definition(values, inverse):
    m = len(values)
    enough = [k for k in range(1, m + 1) if k * sorted(values)[-k] >= (m * inverse) * (1 - 1e-12)]
    cut = sorted(values)[-max(enough)] if enough else math.inf
    tied = any(math.isclose(k * sorted(values)[-k], m * inverse) for k in range(1, m + 1))

    found = e_bh(np.log(values), fdr=1 / inverse)

    assert tied or found.tolist() == [value >= cut for value in values]


@given(families, rates)
def test_e_holm_is_holm_on_one_over_e(family, rate):
    p = np.exp(-np.clip(family, 0, 700))
    limits = rate / np.arange(1, len(p) + 1)

    tied = np.isclose(p[:, None], limits, rtol=1e-9).any()
    assert tied or e_holm(family, alpha=rate).tolist() == holm(p, alpha=rate).tolist()


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=6), rates)
def test_holm_rejects_what_bonferroni_rejects_in_every_set_that_holds_it(p, rate):
    sets = [s for k in range(1, len(p) + 1) for s in combinations(range(len(p)), k)]
    kept = [
        any(i in s and min(p[j] for j in s) > rate / len(s) for s in sets) for i in range(len(p))
    ]

    assert holm(p, alpha=rate).tolist() == [not each for each in kept]


@pytest.mark.parametrize("seed", range(6))
def test_holm_agrees_with_statsmodels(seed):
    p = np.random.default_rng(seed).beta(0.2, 4, size=20)

    assert holm(p, alpha=0.05).tolist() == multipletests(p, 0.05, method="holm")[0].tolist()
    assert 0 < holm(p, alpha=0.05).sum() < 20


@given(tables, rates)
def test_bh_agrees_with_statsmodels_and_scipy(p, rate):
    by_hand = multipletests(p, rate, method="fdr_bh")[0]
    adjusted = false_discovery_control(p)

    assert np.isclose(adjusted, rate, rtol=1e-9).any() or (bh(p, fdr=rate) == by_hand).all()
    assert (bh(p, fdr=rate) == (adjusted <= rate)).all()


def test_benjamini_and_hochbergs_own_table_rejects_four():
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]

    assert bh(p, fdr=0.05).tolist() == [True] * 4 + [False] * 11
    assert holm(p, alpha=0.05).tolist() == [True] * 3 + [False] * 12


def test_every_e_value_at_one_over_the_rate_is_rejected_by_e_bh():
    assert e_bh([-math.log(0.1)] * 7, fdr=0.1).all()
    assert not e_bh([-math.log(0.1) - 1e-9] * 7, fdr=0.1).any()


def test_an_infinite_e_value_is_rejected_and_helps_the_others_by_its_rank():
    assert e_bh([math.inf, math.log(15), -math.inf], fdr=0.1).tolist() == [True, True, False]


# Error rates, exactly: equally likely points, e-values of mean 1 under any joint law


@given(
    arrays(float, (6, 16), elements=st.floats(0, 1)),
    st.integers(1, 6),
    st.sampled_from([0.1, 0.3, 0.5]),
)
def test_false_discoveries_stay_below_the_rate_under_any_dependence(raw, true, rate):
    e = raw.copy()
    e[:true] /= np.maximum(e[:true].mean(axis=1, keepdims=True), 1e-12)  # mean 1 under the null
    e[true:] *= 100

    with np.errstate(divide="ignore"):
        rejected = np.array([e_bh(np.log(point), fdr=rate) for point in e.T])

    wrong = rejected[:, :true].sum(axis=1) / np.maximum(rejected.sum(axis=1), 1)
    assert wrong.mean() <= rate * true / len(e) + 1e-12


@given(arrays(float, (5, 16), elements=st.floats(0, 1)), st.integers(1, 5))
def test_any_false_rejection_of_e_holm_stays_below_alpha_under_any_dependence(raw, true):
    e = raw.copy()
    e[:true] /= np.maximum(e[:true].mean(axis=1, keepdims=True), 1e-12)
    e[true:] *= 1_000

    with np.errstate(divide="ignore"):
        wrong = [e_holm(np.log(point), alpha=0.3)[:true].any() for point in e.T]

    assert np.mean(wrong) <= 0.3 + 1e-12


def test_the_false_discovery_rate_is_reached_when_true_nulls_take_turns():
    # Ten equally likely points; each of five nulls has e = 10 on one of them, never two at once.
    e = 10.0 * np.eye(10)[:5]

    with np.errstate(divide="ignore"):
        rejected = [e_bh(np.log(point) + 1e-12, fdr=0.5).any() for point in e.T]

    assert np.mean(rejected) == 0.5


def test_the_average_of_dependent_e_values_has_mean_one():
    # Every joint law of three e-values in {0, 2}, each fair: the mean is 1 whatever the dependence.
    for first, second in product([0, 1], repeat=2):
        fair = np.array([[0, 2], [0, 2][:: 1 - 2 * first], [0, 2][:: 1 - 2 * second]]).T

        with np.errstate(divide="ignore"):
            assert math.isclose(np.exp(average(np.log(fair))).mean(), 1)


# Averages, calibration, attempts


@given(arrays(float, (3, 5), elements=st.floats(-50, 50)))
def test_an_average_is_that_of_the_e_values_along_the_last_axis(log_e):
    weights = [0.1, 0.2, 0.3, 0.4, 0.0]

    assert np.allclose(average(log_e), np.log(np.exp(log_e).mean(axis=-1)))
    assert np.allclose(average(log_e, weights), np.log(np.exp(log_e) @ weights))


def test_an_average_neither_overflows_nor_makes_nan_of_the_infinite():
    assert average([700.0, 700.0]) == 700.0
    assert average([-math.inf, -math.inf]) == -math.inf
    assert average([math.inf, -math.inf]) == math.inf
    assert average([math.inf, 0.0], [0.0, 1.0]) == 0.0


@pytest.mark.parametrize("kappa", [0.1, 0.5, 0.9])
def test_a_calibrated_p_value_has_mean_one_when_uniform(kappa):
    # int_0^1 kappa p^(kappa - 1) dp = 1; substituting p = t^(1/kappa) makes it the mean of 1.
    p = ((np.arange(1_000) + 0.5) / 1_000) ** (1 / kappa)
    jacobian = p ** (1 - kappa) / kappa

    assert np.allclose(np.exp(calibrated(p, kappa)) * jacobian, 1)


def test_a_p_value_of_zero_is_infinite_evidence():
    assert calibrated([0.0]).tolist() == [math.inf]


def test_all_attempts_together_spend_alpha():
    spent = [attempt_level(0.05, attempt) for attempt in range(1, 10_000)]

    assert 0.0499 < sum(spent) < 0.05


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("log_e", lambda: e_bh([], fdr=0.1)),
        ("log_e", lambda: e_bh([[1.0]], fdr=0.1)),
        ("log_e", lambda: e_bh([math.nan], fdr=0.1)),
        ("log_e", lambda: e_holm([0.0, math.nan], alpha=0.1)),
        ("log_e", lambda: average([])),
        ("log_e", lambda: average(1.0)),
        ("log_e", lambda: average([math.nan])),
        ("fdr", lambda: e_bh([1.0], fdr=1.0)),
        ("alpha", lambda: e_holm([1.0], alpha=0.0)),
        ("weights", lambda: average([1.0, 2.0], [0.5, 0.4])),
        ("weights", lambda: average([1.0, 2.0], [1.5, -0.5])),
        ("weights", lambda: average([1.0, 2.0], [math.nan, 1.0])),
        ("weights", lambda: average([1.0, 2.0], [1.0])),
        ("p", lambda: holm([0.1, 1.1], alpha=0.1)),
        ("p", lambda: holm([], alpha=0.1)),
        ("p", lambda: bh([math.nan], fdr=0.1)),
        ("p", lambda: calibrated(-0.1)),
        ("kappa", lambda: calibrated(0.5, 1.0)),
        ("attempt", lambda: attempt_level(0.05, 0)),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(argument, call):
    with pytest.raises(InputError) as refused:
        call()

    assert refused.value.argument == argument
