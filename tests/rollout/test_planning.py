"""A plan is arithmetic over recorded figures: its numbers can be worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.planning import forecast, sd_assigned
from rollout.epochs import Figure
from rollout.planning import plan
from rollout.spec import read
from tests.rollout.examples import edited

FRAUD = read(edited())[0].spec
ERRORS = ("errors", "latency", "defects")


def planned(spec=FRAUD, *, a_day=50_000, figures=None, disagree=None):
    return plan("r", spec, requests_a_day=a_day, figures=figures or {}, disagree=disagree)


def of(found, metric):
    (proof,) = [proof for proof in found.proofs if proof.metric == metric]
    return proof


def test_a_rate_takes_what_the_formula_says_at_the_recorded_rate():
    found = planned(figures={"errors": Figure(mean=0.02)})

    spread = sd_assigned((0.02 * 0.98) ** 0.5, pi=0.02)
    by_hand = forecast(0.02 * 0.5, spread, units_per_day=50_000)
    proof = of(found, "errors")
    assert (proof.step, proof.units) == ("canary[0]", by_hand.median)
    assert proof.days == pytest.approx(by_hand.median / 50_000 + 10 / 1440)
    assert proof.assuming == "the champion's rate is 2.00%, as recorded"


def test_what_is_proven_once_is_not_waited_for_again():
    found = planned()

    assert [p.metric for p in found.proofs if p.step.startswith("canary")] == ["errors"]
    assert {step.step: step.waits_for for step in found.steps}["canary[1]"] == "min.units"
    assert found.unknown == ("input_drift",)
    assert found.false_rollback == FRAUD.judge.alpha


def test_a_deadline_is_of_all_steps_of_a_stage_together():
    tight = read(edited(("stages.canary.canary.deadline", "13h")))[0].spec
    steps = {step.step: step for step in planned(tight, a_day=10**7).steps}

    assert [steps[f"canary[{k}]"].days for k in range(3)] == [0.25] * 3
    assert not any(steps[f"canary[{k}]"].fits for k in range(3))
    assert steps["shadow"].fits


@given(st.floats(1_000, 1e6), st.floats(1.5, 10))
def test_more_traffic_never_takes_longer(a_day, times):
    slow, fast = planned(a_day=a_day), planned(a_day=a_day * times)

    assert fast.days <= slow.days
    assert fast.ninety_days <= slow.ninety_days
    assert [p.units for p in fast.proofs] == [p.units for p in slow.proofs]


@given(st.floats(0.01, 0.07))
def test_the_recorded_disagreement_is_what_pairs_cost(disagree):
    usual, seen = planned(), planned(disagree=disagree)

    assert of(seen, "defects").units < of(usual, "defects").units
    assert "as recorded" in of(seen, "defects").assuming
