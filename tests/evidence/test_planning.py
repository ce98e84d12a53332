import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from evidence.bets import Plan, mixed
from evidence.domain import InputError
from evidence.effects import Arms, Difference
from evidence.planning import (
    detectable,
    fixed_horizon,
    forecast,
    futile,
    labels_per_pair,
    sd_assigned,
    sd_paired,
)
from evidence.results import Interval, Side


@pytest.mark.parametrize(("delta", "sd"), [(0.05, 0.5), (0.01, 0.2)])
def test_a_fixed_horizon_agrees_with_statsmodels(delta, sd):
    """Oracle: NormalIndPower for two equal arms, one-sided."""
    per_arm = NormalIndPower().solve_power(
        effect_size=delta / sd, alpha=0.05, power=0.8, alternative="larger"
    )

    assert fixed_horizon(delta, sd_assigned(sd, pi=0.5)) == pytest.approx(2 * per_arm, abs=1.5)


@pytest.mark.parametrize(("p", "d", "pi"), [(0.5, 0.05, 0.5), (0.05, 0.02, 0.5), (0.1, 0.05, 0.1)])
def test_nine_of_ten_runs_end_by_the_ninety_per_cent_point(p, d, pi):
    spread = math.sqrt(p * (1 - p) / (1 - pi) + (p + d) * (1 - p - d) / pi)
    plan = forecast(d, spread, units_per_day=1_000)
    arms = Arms(pi=pi, centre=p, sd=math.sqrt(p * (1 - p)), plan=Plan(n_star=plan.n_star))
    most, stops = 3 * plan.ninety, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        challenger = rng.random(most) < pi
        bad = rng.random(most) < np.where(challenger, p + d, p)
        one_hot = np.eye(4, dtype=np.int64)[2 * challenger + bad]
        counts = one_hot.cumsum(axis=0)[::10].reshape(-1, 2, 2)
        said = mixed(Difference(arms).log_wealth(counts, 0.0, Side.ABOVE)) >= math.log(20)
        stops.append(10 * int(np.argmax(said)) if said.any() else most)

    assert 0.6 * plan.median < np.median(stops) < 1.15 * plan.median
    assert 0.8 <= np.mean(np.array(stops) <= plan.ninety) <= 0.99


def test_what_a_forecast_needs_is_what_that_many_units_detect():
    plan = forecast(0.01, 0.2, units_per_day=500)

    assert detectable(plan.median, 0.2) == pytest.approx(0.01, rel=1e-3)


def test_ten_times_the_traffic_takes_a_tenth_of_the_days():
    slow, fast = (forecast(0.01, 0.2, units_per_day=rate) for rate in (100, 1_000))

    assert slow.median == fast.median
    assert slow.days[0] == pytest.approx(10 * fast.days[0], rel=0.05)


def test_pairs_need_a_hundredth_of_the_labels_of_two_audited_arms():
    """6 % disagreement and a gain of one point, against two arms at 10 % error: section 0."""
    pairs = forecast(
        0.01, sd_paired(0.06, 0.01), units_per_day=1, labels_per_unit=labels_per_pair(0.06)
    )
    arms = fixed_horizon(0.01, sd_assigned(0.3, pi=0.5))

    assert 200 < pairs.labels < 320
    assert arms > 20_000


def test_unpaired_audits_at_half_a_point_are_out_of_reach():
    """Rule 17: about 23,500 audits an arm at 5 % error and a margin of half a point."""
    per_arm = fixed_horizon(0.005, sd_assigned(math.sqrt(0.05 * 0.95), pi=0.5)) / 2

    assert per_arm == pytest.approx(23_500, rel=0.01)


def test_an_effect_is_futile_once_the_interval_excludes_it():
    found = Interval(-0.01, 0.004)

    assert futile(found, 0.01, better=Side.ABOVE)
    assert not futile(found, 0.003, better=Side.ABOVE)
    assert futile(found, -0.02, better=Side.BELOW)
    assert not futile(found, -0.005, better=Side.BELOW)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: forecast(0.0, 1, units_per_day=1), "distance"),
        (lambda: forecast(0.1, 0, units_per_day=1), "sd"),
        (lambda: forecast(0.1, 1, units_per_day=0), "units_per_day"),
        (lambda: forecast(0.1, 1, units_per_day=1, alpha=1), "alpha"),
        (lambda: forecast(0.1, 1, units_per_day=1, labels_per_unit=2), "labels_per_unit"),
        (lambda: fixed_horizon(0.1, 1, power=1), "power"),
        (lambda: detectable(0, 1), "n"),
        (lambda: futile(Interval(0, 1), math.nan, better=Side.ABOVE), "wanted"),
        (lambda: sd_assigned(1, pi=0), "pi"),
        (lambda: sd_paired(0.01, 0.02), "difference"),
        (lambda: sd_paired(0.0, 0.0), "discordance"),
        (lambda: labels_per_pair(0.1, agreements=1.1), "agreements"),
    ],
)
def test_a_value_outside_its_domain_is_named(call, argument):
    with pytest.raises(InputError) as refused:
        call()

    assert refused.value.argument == argument
