"""What plans draw counts from: the effect is exactly the one that a scenario says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.sequences import estimate
from rollout.counted import Side
from rollout.courses import Kind, Place
from rollout.tested import evidence, guardrail
from rollout.traffic import traffic
from tests.rollout.ahead import NAMES, RATES, Rate, Rates, spec, world

STAGES = """
    - shadow: {require: guardrails, deadline: 4d}
    - canary: {weights: [20], dwell: 1h, require: guardrails, deadline: 4d}
"""
MANY = 10**10
KNOWN = Rates(
    units=RATES.units, disagree=RATES.disagree,
    metrics={name: Rate(mean=rate.mean, sd=rate.sd) for name, rate in RATES.metrics.items()},
)  # fmt: skip


def effects(unit, scenario, *, in_shadow=False, rates=KNOWN):
    """By metric: the effect of endless traffic, and the limit that it is held against."""
    found = world(spec(unit=unit, stages=STAGES), scenario, rates=rates)
    place = Place(Kind.SHADOW, 0) if in_shadow else Place(Kind.CANARY, 1)
    frame = found.frame(traffic(found.spec, found.course, place, dropped=()), ())
    told = {}
    for metric, chances in zip(frame.opened.metrics, frame.chances, strict=True):
        cells = np.rint(chances * MANY).astype(np.int64)
        vector = np.concatenate([cells.sum(axis=1, keepdims=True), cells[:, :-1]], axis=1).ravel()
        epoch = evidence(frame.opened, metric, 0, vector)
        if epoch is not None:
            pi = frame.opened.challengers[0].pi
            limit = guardrail(metric, pi=pi, planned_units=100).question.limit
            told[metric.name] = estimate([epoch]), limit
    return told


@pytest.mark.parametrize("unit", ["request", "account"])
def test_a_version_at_its_margin_is_exactly_there_in_every_form_of_evidence(unit):
    told = effects(unit, "worse by the margin")

    assert set(told) == set(NAMES)
    for name, (effect, limit) in told.items():
        assert effect == pytest.approx(limit, rel=1e-5, abs=1e-6), name


def test_in_shadow_errors_and_latencies_are_pairs_and_as_exact():
    told = effects("request", "worse by the margin", in_shadow=True)

    assert {"errors", "rare_errors", "slow"} < set(told)
    for name, (effect, limit) in told.items():
        assert effect == pytest.approx(limit, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("unit", ["request", "account"])
def test_an_equal_version_has_no_effect_and_a_better_one_the_opposite(unit):
    equal, better = (effects(unit, name) for name in ("equal", "better by the margin"))

    ratios = {"rare_errors", "common", "worse", "spend"}
    for name in set(NAMES) - {"disagreement", "slow"}:  # a version as quick keeps below its margin
        effect, limit = equal[name]
        assert effect == pytest.approx(1.0 if name in ratios else 0.0, abs=1e-6), name
        assert better[name][0] - effect == pytest.approx(effect - limit, abs=1e-5), name


@settings(max_examples=30)
@given(
    disagree=st.floats(0, 0.5), mean=st.floats(0, 1), discordant=st.none() | st.floats(0, 1),
    labelled=st.floats(0, 1), value=st.floats(0, 1e4), sd=st.none() | st.floats(0.01, 1e4),
    unit=st.sampled_from(["request", "account"]), units=st.floats(1, 1e7),
)  # fmt: skip
def test_chances_are_chances_whatever_is_stated(
    disagree, mean, discordant, labelled, value, sd, unit, units
):
    rate = Rate(mean=mean, discordant=discordant, labelled=labelled)
    rates = Rates(disagree=disagree, units=units, metrics={
        **dict.fromkeys(("errors", "wrong", "common", "paired", "defects", "worse"), rate),
        **dict.fromkeys(("slower", "spend", "cost"), Rate(mean=value, sd=sd)),
    })  # fmt: skip
    found = world(spec(unit=unit, stages=STAGES), "worse by twice the margin", rates=rates)
    place = Place(Kind.CANARY, 1)
    frame = found.frame(traffic(found.spec, found.course, place, dropped=()), ())

    for metric, chances in zip(frame.opened.metrics, frame.chances, strict=True):
        assert (chances >= -1e-12).all(), metric.name
        assert chances.sum() == pytest.approx(1.0), metric.name
        if metric.side is Side.ARMS:
            assert chances.sum(axis=1) == pytest.approx([0.4, 0.4, 0.2])
