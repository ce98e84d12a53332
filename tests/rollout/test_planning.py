"""A plan's futures keep what the judge promises, and take as long as arithmetic says."""

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.stats import binom

from rollout.futures import future
from rollout.needs import Seen, need
from rollout.rates import Rate, Rates, read
from rollout.scenarios import Scenario, Shift, effect
from rollout.spec import Freeze, HarmBudget
from rollout.stages import Signal
from streams.errors import InputError
from tests.rollout.ahead import T0, fate, planned, spec, step, world

CANARY = """
    - canary: {weights: [20, 50], dwell: 6h, require: guardrails, deadline: 10d}
    - full: {probation: 1d}
"""
WHOLE = """
    - shadow: {require: [disagreement, defects], min: {pairs: 3000, age: 12h}, deadline: 10d}
    - canary: {weights: [10, 30], dwell: 6h, require: guardrails, min: {units: 500}, deadline: 10d}
    - approval: {count: 2, from: [risk], deadline: 1d}
    - ab: {weight: 50, goal: wrong, deadline: 20d}
    - full: {probation: 2d}
"""
FEW = ("errors", "wrong", "defects")
ERRORS = spec(guardrails=("errors",), stages=CANARY)


def futures(declared, scenario, count, **traffic):
    found = world(declared, scenario, **traffic)
    for seed in np.random.SeedSequence(5).spawn(count):
        yield future(found, from_ms=T0, seed=seed)


@pytest.fixture(scope="module")
def whole():
    return planned(spec(guardrails=FEW, stages=WHOLE), futures=6)


def test_an_equal_version_goes_all_the_way_and_a_harmful_one_back(whole):
    equal, worse = fate(whole), fate(whole, "worse by twice the margin")
    assert equal.promoted >= 0.9
    assert (worse.promoted, worse.harm) == (0.0, 1.0)
    assert worse.days < equal.days
    assert [each.step for each in whole.steps if each.scenario == "equal"] == [
        "shadow", "canary[0]", "canary[1]", "approval", "ab", "probation"
    ]  # fmt: skip
    assert step(whole, "probation").waits_for == "probation"
    assert equal.extra["wrong"] == worse.extra["wrong"] == 0.0  # one in shadow harms nobody
    assert fate(whole, "better by the margin").extra["wrong"] < 0


def test_what_a_worse_version_costs_is_its_share_of_the_requests():
    [end] = futures(spec(guardrails=("wrong",), stages=CANARY), "worse by twice the margin", 1)

    assert end.signal is Signal.HARM
    assert end.extra["wrong"] == pytest.approx(end.days * 20_000 * 0.2 * 2 * 0.02)


def test_labels_are_those_of_the_audited_pairs():
    [end] = futures(spec(guardrails=FEW, stages=WHOLE), "equal", 1)

    pairs = 20_000 * (end.days - 2)  # a pair for each request before full weight
    assert end.labels == pytest.approx(pairs * (0.2 * 0.94 + 1.0 * 0.06))


def test_the_same_seed_is_the_same_plan_and_another_is_other_luck():
    declared = spec(guardrails=FEW, stages=WHOLE)

    first, again, other = (planned(declared, futures=2, seed=seed) for seed in (1, 1, 2))

    assert first == again
    assert first.steps != other.steps


def test_at_the_margin_no_metric_is_called_safe_or_harmful_more_often_than_promised():
    count, alpha = 100, 0.05
    declared = spec(guardrails=("errors", "wrong", "slow"), stages=CANARY)

    ends = list(futures(declared, "worse by the margin", count))

    most = binom.ppf(0.9999, count, alpha)
    for name in ("errors", "wrong", "slow"):
        assert sum(name in end.safe for end in ends) <= most, name
    assert sum(end.signal is Signal.HARM for end in ends) <= most


def test_the_median_is_that_of_the_planning_formula():
    rates = Rates(metrics={"errors": Rate(mean=0.05)})
    by_hand = need(ERRORS.spec, ERRORS.spec.by_name["errors"], weight=20, seen=Seen(rate=0.05))
    declared = spec(guardrails=("errors",), stages=CANARY, units=int(1.2 * by_hand.units))

    ends = list(futures(declared, "equal", 100, a_day=2_000, rates=rates))

    median, ninetieth = np.percentile([end.steps[0].days for end in ends], [50, 90])
    assert 0.8 < median / (by_hand.units / 2_000) < 1.15
    assert ninetieth < 1.1 * by_hand.ninety / 2_000


def test_a_step_goes_blind_as_often_as_a_gap_comes():
    declared = spec(guardrails=("errors",), stages=CANARY, blind="1h")
    ends = list(futures(declared, "equal", 100, a_day=480))  # 4 answers an hour of the challenger

    days = [end.days for end in ends if end.signal is Signal.BLIND]
    assert len(days) > 90
    gaps = 96 * np.exp(-4.0)  # a day
    assert np.mean(days) == pytest.approx(1 / gaps, rel=0.3)


def test_what_cannot_end_in_time_is_told_with_what_would_help():
    tight = CANARY.replace("deadline: 10d", "deadline: 1d, onDeadline: pause")
    found = planned(spec(guardrails=("errors",), stages=tight), a_day=400, futures=10)

    [told] = found.warnings
    assert fate(found).deadline == fate(found).paused == 1.0
    assert (told.step, told.chance) == ("canary[0]", 1.0)
    assert "1d comes first: errors is not proven safe" in told.reason
    days = int(told.fix.split("a deadline of ")[1].split("d")[0])
    longer = tight.replace("deadline: 1d", f"deadline: {2 * days}d")  # of both steps
    ends = futures(spec(guardrails=("errors",), stages=longer), "equal", 10, a_day=400)
    assert sum(end.outcome == "promoted" for end in ends) >= 8


def test_a_blind_step_is_told_with_a_time_that_is_long_enough():
    def declared(blind):
        return spec(guardrails=("errors",), stages=CANARY, blind=blind)

    [told] = planned(declared("15m"), a_day=1_500, futures=10).warnings

    assert told.chance > 0.9
    assert "in 15m (blindAfter)" in told.reason
    enough = told.fix.split("blindAfter: ")[1].split(",")[0]
    found = futures(declared(enough), "equal", 20, a_day=1_500)
    assert not any(end.signal is Signal.BLIND for end in found)


def test_a_freeze_holds_and_the_first_look_after_it_goes_on():
    free = spec(guardrails=("errors",), stages=CANARY)
    held = replace(free, spec=replace(free.spec, freeze=(Freeze(cron="0 0 * * *", length="23h"),)))

    [went] = futures(free, "equal", 1, a_day=10**6)
    [waited] = futures(held, "equal", 1, a_day=10**6)

    assert went.outcome == waited.outcome == "promoted"
    assert went.steps[0].days == 0.25
    assert waited.steps[0].gates == ("freeze",)
    assert waited.steps[0].days > 0.3


def test_a_spent_harm_budget_rolls_back_though_no_margin_is_crossed():
    declared = spec(guardrails=("errors",), stages=CANARY)
    budget = HarmBudget(metric="wrong", extra=50)
    bounded = replace(declared, spec=replace(declared.spec, harm_budget=budget))
    shifts = Scenario(name="as stated", shifts={"wrong": Shift(absolute=0.018)})

    ends = [list(futures(each, shifts, 5)) for each in (declared, bounded)]

    assert {end.signal for end in ends[0]} == {Signal.FINISH}
    assert {end.outcome for end in ends[1]} == {"rolled back"}
    assert {end.signal for end in ends[1]} == {Signal.HARM, Signal.DEADLINE}
    assert all(end.extra["wrong"] > 50 for end in ends[1])
    late = [end.steps[-1] for end in ends[1] if end.signal is Signal.DEADLINE]
    assert {(each.step, each.days, each.gates) for each in late} == {
        ("probation", 2.0, ("harmBudget",))
    }


def test_an_effect_is_a_scenario_of_its_own():
    shift = dict([effect("errors=+60%", ERRORS.spec)])

    found = planned(ERRORS, futures=5, effects=shift)

    assert shift == {"errors": Shift(relative=0.6)}
    assert fate(found, "as stated").harm > 0.9


@pytest.mark.parametrize(
    ("text", "said"),
    [("eror=1", "no metric 'eror'"), ("errors", "no change of errors"), ("errors=x%", "no change")],
)
def test_an_effect_that_says_nothing_is_refused(text, said):
    with pytest.raises(InputError, match=said):
        effect(text, ERRORS.spec)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"metrics: {eror: {mean: 1}}", "line 1: metrics.eror: the spec has no metric 'eror'"),
        (b"metrics:\n  errors: {mean: 5}", "line 2: metrics.errors.mean: is a share"),
        (b"disagre: 0.1", "disagree"),
    ],
)
def test_rates_that_cannot_be_are_refused_with_their_line(text, said):
    with pytest.raises(InputError) as caught:
        read(text, ERRORS.spec, name="rates.yaml")

    assert said in f"{caught.value.message} {caught.value.fix}"
