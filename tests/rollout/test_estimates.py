"""When a metric may be known: the planning formula at the effect and the pace seen so far."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.decision import Verdict
from evidence.planning import forecast, sd_assigned
from rollout.decisions import Judged
from rollout.estimates import estimate
from rollout.judge import judge
from streams.models import DAY_MS
from tests.rollout.test_judge import CANARY, GOOD, arms, look, named, pairs, verdict

NOW = CANARY.opens_ms + 2 * DAY_MS


def record(name, champion, challenger):
    return judge(look(GOOD | arms(CANARY, name, champion, [challenger, [0, 0]])))


def test_it_is_the_formula_less_what_was_seen_at_this_pace():
    found = record("misses", [960, 40], [576, 24])
    judged = verdict(found, "misses")
    _, metric = named(CANARY, "misses")
    pi = CANARY.challengers[0].pi

    when = estimate(found, judged, now_ms=NOW)

    spread = sd_assigned(metric.sd, pi=pi)
    wanted = forecast(0.01 - judged.estimate, spread, units_per_day=800, alpha=0.05 / 2)
    assert judged.n == 1_600
    assert when.days == pytest.approx((wanted.median - 1_600) / 800)
    assert when.ninety_days == pytest.approx((wanted.ninety - 1_600) / 800)


def test_what_lies_past_its_limit_has_no_time():
    found = record("misses", [960, 40], [500, 100])

    assert estimate(found, verdict(found, "misses"), now_ms=NOW) is None


def test_a_form_without_a_formula_has_no_time():
    found = record("errors", [960, 40], [570, 30])

    assert estimate(found, verdict(found, "errors"), now_ms=NOW) is None


def test_what_was_never_seen_has_no_time():
    found = judge(look(GOOD | pairs(CANARY, "wrong", [0, 0, 0, 0, 0])))
    unseen = Judged(arm="42", metric="misses", verdict=Verdict.NO_DATA)

    assert estimate(found, unseen, now_ms=NOW) is None


@settings(max_examples=10)
@given(st.integers(1, 400), st.integers(1, 30))
def test_twice_the_time_for_the_same_units_is_twice_the_wait(errors, days):
    found = record("misses", [9_600, 400], [6_000 - errors, errors])
    judged = verdict(found, "misses")

    one, two = (estimate(found, judged, now_ms=CANARY.opens_ms + k * days * DAY_MS) for k in (1, 2))

    assert (one is None) == (two is None)
    if one is not None:
        assert two.days == pytest.approx(2 * one.days)
        assert one.days <= one.ninety_days
