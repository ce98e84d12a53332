"""Two arms compared by their moments: estimates against hand-worked ones, and every gate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evidence.asymptotic import cuped_difference, difference, ratio_difference, ratio_of_means
from evidence.domain import InputError
from evidence.moments import Moments
from evidence.normal import NormalTest
from evidence.results import Evidence, Guarantee, NotYet, Side

METRICS = {
    difference: (1, 0.0),
    ratio_of_means: (1, 1.0),
    ratio_difference: (2, 0.0),
    cuped_difference: (2, 0.0),
}
EVERY = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)


def drawn(seed: int, n: int, width: int, *, better: float = 0.0) -> np.ndarray:
    """Positive, mildly skewed values; the columns are correlated."""
    rng = np.random.default_rng(seed)
    shared = rng.gamma(4, size=(n, 1))
    return shared + rng.gamma(4, size=(n, width)) + better * np.eye(1, width)


def asked(metric, champion, challenger, **question) -> Evidence:
    question = {"effect": METRICS[metric][1], **question}
    found = metric(Moments.of(champion), Moments.of(challenger), NormalTest(**question))
    assert isinstance(found, Evidence)
    return found


def half_width(se: float, n: int) -> float:
    """Equation 9 at alpha .05 and n* = 20 000, with the published tuning of rho (eq. 161)."""
    log = -2 * math.log(0.05)
    v = n * (log + math.log1p(log)) / 20_000
    return se * math.sqrt(2 * (v + 1) / v * math.log(math.sqrt(v + 1) / 0.05))


@EVERY
def test_a_report_of_all_parts_is_the_report_of_the_whole(metric):
    width, _ = METRICS[metric]
    a, b = drawn(1, 3000, width), drawn(2, 2000, width, better=0.3)

    whole = asked(metric, a, b)
    parts = metric(
        Moments.of(a[:7]) + Moments() + Moments.of(a[7:]),
        Moments.of(b[:1500]) + Moments.of(b[1500:]),
        NormalTest(effect=METRICS[metric][1]),
    )

    assert parts.log_e == pytest.approx(whole.log_e, rel=1e-9)
    assert parts.interval.lower == pytest.approx(whole.interval.lower, rel=1e-9)


@EVERY
def test_swapping_the_arms_mirrors_the_effect(metric):
    width, _ = METRICS[metric]
    a, b = drawn(1, 3000, width), drawn(2, 2000, width, better=0.3)
    mirror = (lambda x: 1 / x) if metric is ratio_of_means else (lambda x: -x)

    there = asked(metric, a, b, side=Side.ABOVE)
    back = asked(metric, b, a, side=Side.BELOW)

    assert back.estimate == pytest.approx(mirror(there.estimate))
    assert back.interval.upper == pytest.approx(mirror(there.interval.lower))
    assert back.log_e == pytest.approx(there.log_e)


def test_the_difference_has_the_standard_error_of_welch():
    a, b = drawn(3, 3000, 1)[:, 0], drawn(4, 1500, 1, better=0.2)[:, 0]
    se = math.sqrt(a.var(ddof=1) / 3000 + b.var(ddof=1) / 1500)

    found = asked(difference, a, b)

    assert found.n == 4500
    assert found.estimate == pytest.approx(b.mean() - a.mean())
    assert found.interval.upper - found.estimate == pytest.approx(half_width(se, 4500))


def test_the_ratio_of_means_has_the_delta_method_interval_of_the_logarithm():
    a, b = drawn(3, 3000, 1)[:, 0], drawn(4, 1500, 1, better=0.2)[:, 0]
    log = math.log(b.mean() / a.mean())
    variances = [x.var(ddof=1) / len(x) / x.mean() ** 2 for x in (a, b)]
    reach = half_width(math.sqrt(sum(variances)), 4500)

    found = asked(ratio_of_means, a, b)

    assert found.estimate == pytest.approx(b.mean() / a.mean())
    assert found.interval.lower == pytest.approx(math.exp(log - reach))
    assert found.interval.upper == pytest.approx(math.exp(log + reach))


def test_the_ratio_difference_has_the_published_delta_method_variance():
    a, b = drawn(5, 3000, 2), drawn(6, 1500, 2, better=0.2)

    def variance(rows: np.ndarray) -> float:
        (s_yy, s_xy), (_, s_xx) = np.cov(rows.T)
        ratio = rows[:, 0].mean() / rows[:, 1].mean()
        return (s_yy - 2 * ratio * s_xy + ratio**2 * s_xx) / len(rows) / rows[:, 1].mean() ** 2

    found = asked(ratio_difference, a, b)

    ratios = [rows[:, 0].sum() / rows[:, 1].sum() for rows in (a, b)]
    assert found.estimate == pytest.approx(ratios[1] - ratios[0])
    reach = half_width(math.sqrt(variance(a) + variance(b)), 4500)
    assert found.interval.upper - found.estimate == pytest.approx(reach)


def test_cuped_is_the_difference_of_regression_residuals():
    a, b = drawn(7, 3000, 2), drawn(8, 1500, 2, better=0.2)
    within = np.concatenate([rows - rows.mean(axis=0) for rows in (a, b)])
    theta = stats.linregress(within[:, 1], within[:, 0]).slope

    found = asked(cuped_difference, a, b)
    by_hand = asked(difference, *(rows[:, 0] - theta * rows[:, 1] for rows in (a, b)))

    assert found.estimate == pytest.approx(by_hand.estimate)
    assert found.interval.lower == pytest.approx(by_hand.interval.lower)
    assert found.log_e == pytest.approx(by_hand.log_e)


def test_cuped_narrows_by_what_the_covariate_explains():
    a, b = drawn(7, 30_000, 2), drawn(8, 30_000, 2)
    plain = asked(difference, a[:, 0], b[:, 0])

    found = asked(cuped_difference, a, b)

    correlation = np.corrcoef(np.concatenate([a, b]).T)[0, 1]
    expected = plain.interval.width * math.sqrt(1 - correlation**2)
    assert found.interval.width == pytest.approx(expected, rel=1e-3)
    assert "covariate" in found.assumes[-1]


def test_a_covariate_that_does_not_vary_changes_nothing():
    a, b = drawn(7, 3000, 1), drawn(8, 3000, 1)
    constant = np.full((3000, 1), 0.1)

    found = asked(cuped_difference, np.hstack([a, constant]), np.hstack([b, constant]))

    assert found.interval.lower == pytest.approx(asked(difference, a, b).interval.lower)


@given(st.floats(1e-3, 1e3), st.floats(-50, 50))
def test_units_of_the_metric_and_its_origin_do_not_matter(scale, shift):
    a, b = drawn(9, 1000, 1), drawn(10, 1000, 1, better=0.4)

    found = asked(difference, a * scale + shift, b * scale + shift)

    assert found.log_e == pytest.approx(asked(difference, a, b).log_e, rel=1e-6)


@EVERY
def test_the_effect_that_was_put_in_is_inside_the_interval_and_no_effect_is_not(metric):
    width, none = METRICS[metric]
    a, b = drawn(11, 40_000, width), drawn(12, 40_000, width, better=0.8)
    true = {ratio_of_means: 1.1, ratio_difference: 0.1}.get(metric, 0.8)

    found = asked(metric, a, b)

    assert true in found.interval
    assert none not in found.interval
    assert found.rejects


def test_no_interval_of_a_ratio_goes_below_minus_100_per_cent():
    a, b = drawn(1, 1000, 1), drawn(2, 1000, 1) / 1000

    found = asked(ratio_of_means, a, b, alpha=1e-9, n_star=1e14)
    bound = asked(ratio_of_means, a, b, side=Side.BELOW)

    assert found.interval.lower >= 0
    assert found.interval.upper == math.inf
    assert bound.interval.lower == 0


@EVERY
def test_harm_and_safe_speak_for_opposite_sides_of_their_margin(metric):
    width, none = METRICS[metric]
    a, b = drawn(13, 20_000, width), drawn(14, 20_000, width)

    safe = asked(metric, a, b, effect=none + 0.3, side=Side.BELOW)
    harm = asked(metric, a, b, effect=none + 0.3, side=Side.ABOVE)

    assert safe.rejects
    assert none + 0.3 not in safe.interval
    assert not harm.rejects
    assert safe.guarantee is Guarantee.GATED


@EVERY
@pytest.mark.parametrize(("n", "ready"), [(0, False), (999, False), (1000, True)])
def test_the_smaller_arm_needs_a_thousand_units(metric, n, ready):
    width, none = METRICS[metric]
    many, few = Moments.of(drawn(1, 5000, width)), Moments.of(drawn(2, n, width))

    for arms in ((many, few), (few, many)):
        found = metric(*arms, NormalTest(effect=none))

        assert isinstance(found, Evidence) == ready
        assert ready or (found.have, found.need) == (n, 1000)


@pytest.mark.parametrize("skewed", [0, 1])
def test_skewed_values_need_355_units_per_squared_skewness(skewed):
    rare = np.zeros(4000)
    rare[:80] = 1
    need = math.ceil(355 * stats.skew(rare) ** 2)
    arms = [Moments.of(drawn(1, 50_000, 1)), Moments.of(drawn(1, 50_000, 1))]

    arms[skewed] = Moments.of(rare)
    shut = difference(*arms, NormalTest(effect=0.0))
    arms[skewed] = Moments.of(np.tile(rare, math.ceil(need / 4000)))
    opened = difference(*arms, NormalTest(effect=0.0))

    assert shut == NotYet(4000, need, shut.why)
    assert f"{need} units" in shut.why
    assert isinstance(opened, Evidence)


def test_the_gate_asks_for_the_skewness_of_what_is_tested():
    rng = np.random.default_rng(5)
    x = rng.lognormal(sigma=1, size=4000)
    rows = np.stack([3 * x + rng.normal(size=4000), x], axis=1)
    arms = (Moments.of(rows),) * 2

    plain = difference(*(arm.project((1, 0)) for arm in arms), NormalTest(effect=0.0))

    assert isinstance(plain, NotYet)
    assert isinstance(cuped_difference(*arms, NormalTest(effect=0.0)), Evidence)
    assert isinstance(ratio_difference(*arms, NormalTest(effect=0.0)), Evidence)


@pytest.mark.parametrize("shift", [0.0, 0.1, -20.0])
def test_a_divisor_that_is_not_clear_of_zero_has_no_ratio_yet(shift):
    noise = np.random.default_rng(6).normal((1.0, shift), size=(2000, 2))
    arms = Moments.of(noise[:1000]), Moments.of(noise[1000:])

    found = ratio_difference(*arms, NormalTest(effect=0.0))
    swapped = ratio_of_means(*(arm.project((0, 1)) for arm in arms), NormalTest(effect=1.0))

    assert isinstance(found, NotYet)
    assert isinstance(swapped, NotYet)
    assert "errors above 0" in found.why
    assert found.need > found.have == 1000


def test_a_divisor_is_clear_of_zero_at_ten_standard_errors():
    x = np.tile([-1.0, 1.0], 1000)
    se = math.sqrt(x.var(ddof=1) / 2000)
    y = np.random.default_rng(1).normal(size=2000)

    def asked_at(mean: float):
        arm = Moments.of(np.stack([y, x + mean], axis=1))
        return ratio_difference(arm, arm, NormalTest(effect=0.0))

    assert isinstance(asked_at(10.01 * se), Evidence)
    assert asked_at(5 * se).need == pytest.approx(4 * 2000, abs=1)


def test_one_divisor_near_zero_is_enough_to_wait():
    clear = Moments.of(drawn(1, 2000, 2))
    near = Moments.of(drawn(2, 2000, 2) - (0, 8))

    for arms in ((clear, near), (near, clear)):
        assert isinstance(ratio_difference(*arms, NormalTest(effect=0.0)), NotYet)


@EVERY
def test_an_arm_without_spread_has_no_verdict(metric):
    width, none = METRICS[metric]
    values = Moments.of(drawn(1, 2000, width))
    constant = Moments.of(np.full((1300, width), 0.1)) + Moments.of(np.full((700, width), 0.1))

    for arms in ((values, constant), (constant, values), (constant, constant)):
        found = metric(*arms, NormalTest(effect=none))

        assert isinstance(found, NotYet)
        assert found.need > found.have == 2000


@EVERY
def test_an_arm_of_the_wrong_width_is_named(metric):
    width, none = METRICS[metric]
    right, wrong = Moments.of(drawn(1, 9, width)), Moments.of(drawn(1, 9, 3 - width))

    with pytest.raises(InputError) as refused:
        metric(right, wrong, NormalTest(effect=none))

    assert refused.value.argument == "challenger"


def test_a_ratio_cannot_be_tested_against_nothing():
    arm = Moments.of(drawn(1, 2000, 1))

    with pytest.raises(InputError) as refused:
        ratio_of_means(arm, arm, NormalTest(effect=0.0))

    assert refused.value.argument == "effect"


def test_the_gated_sequence_rarely_ever_errs_and_a_peeked_z_test_often_does():
    rng = np.random.default_rng(8)
    runs, looks, batch = 150, 60, 200
    question = NormalTest(effect=0.0, alpha=0.05, n_star=10_000)
    ever = {"sequence": 0, "z": 0}
    for _ in range(runs):
        arms = [Moments(), Moments()]
        rejected = set()
        for _ in range(looks):
            arms = [arm + Moments.of(rng.gamma(4, size=batch)) for arm in arms]
            found = difference(*arms, question)
            if isinstance(found, NotYet):
                continue
            se = math.sqrt(sum(arm.variance.item() / arm.n for arm in arms))
            rejected |= {"sequence"} if found.rejects else set()
            rejected |= {"z"} if abs(found.estimate) > 1.96 * se else set()
        for name in rejected:
            ever[name] += 1

    assert ever["sequence"] <= stats.binom.ppf(0.9999, runs, 0.05)
    assert ever["z"] > 0.15 * runs
