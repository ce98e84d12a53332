"""Ticks: from what is known to decisions, until a rollout has ended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evidence.decision import Verdict
from rollout import courses, routes, stages, store
from rollout.controller import tick
from rollout.courses import FINAL, Kind, Place
from rollout.decisions import Judged, canonical, verified
from rollout.rules.places import required
from rollout.scenes import Facts, Scene
from rollout.signals import due
from rollout.stages import Signal
from rollout.states import State, folded
from rollout.traffic import traffic
from streams.db.engine import reading
from streams.models import HOUR_MS
from tests.rollout.test_acting import BEGIN, NOW_MS, SPEC, ask, created, person, table, together

GOOD = Facts(verdicts=(Judged(arm="2", metric="errors", verdict=Verdict.SAFE, n=900),))
BAD = Facts(verdicts=(Judged(arm="2", metric="errors", verdict=Verdict.HARM, n=900),))


def ticked(engine, hours, facts=GOOD):
    """The decision of a tick so many hours after the start, with evidence as fresh as can be."""
    now_ms = NOW_MS + int(hours * HOUR_MS)
    fresh = replace(facts, fresh_ms=now_ms)
    return tick(engine, "fraud-42", fresh, now_ms=now_ms, wall_ms=now_ms)


def begun(engine):
    created(engine)
    for signal in BEGIN:
        ask(engine, signal)


def moves(engine):
    with reading(engine) as connection:
        decisions = store.standing(connection, "fraud-42").decisions
    verified(map(canonical, decisions))
    return [(each.before.kind, each.after.kind, each.signal) for each in decisions]


def test_a_good_challenger_is_at_full_weight_by_evidence_one_signature_and_time_alone(ready):
    begun(ready)

    for hour in range(0, 24 * 30, 7):
        decision = ticked(ready, hour)
        if decision is not None and decision.after.kind is Kind.APPROVAL:
            assert ticked(ready, hour + 1) is None
            ask(ready, Signal.SIGN, cause=person("bob", "risk"))

    told = moves(ready)
    assert [after.value for _, after, _ in told] == [
        "planned", "shadow", "supervised", "canary", "canary", "approval", "approval", "ab",
        "probation", "done",
    ]  # fmt: skip
    assert told[-1][2] is Signal.FINISH
    assert table(ready).champion.version == "2"
    assert ticked(ready, 10_000, BAD) is None


def test_a_bad_one_goes_back_in_a_pause_and_is_back_once_nobody_has_it(ready):
    begun(ready)
    ticked(ready, 1)
    ask(ready, Signal.PAUSE)

    assert ticked(ready, 2, BAD).after.kind is Kind.ROLLING_BACK
    assert ticked(ready, 3, BAD) is None
    assert ticked(ready, 4, replace(BAD, restored=True)).after.kind is Kind.ROLLED_BACK
    assert {arm.version for arm in table(ready).arms if arm.hi > arm.lo} == {"1"}


def test_two_controllers_at_once_decide_once(ready):
    begun(ready)

    told = together(lambda: ticked(ready, 1, BAD), lambda: ticked(ready, 1, BAD))

    assert not any(isinstance(each, Exception) for each in told)
    assert moves(ready).count((Kind.SHADOW, Kind.ROLLING_BACK, Signal.HARM)) == 1


LOOKS = st.tuples(
    st.sampled_from([*Verdict, None, None]),  # of errors; None: not judged
    st.floats(0.1, 60),  # hours since the last tick
    st.booleans(),  # whether evidence came meanwhile
    st.sampled_from([None, None, None, Signal.PAUSE, Signal.RESUME]),  # what a person does
)


@given(st.lists(LOOKS, max_size=40))
def test_whatever_comes_no_share_grows_without_proof_and_harm_ends_it(looks):
    course = courses.course(SPEC)
    state = State(rollout="r", revision="sha256:1", place=Place(course[0].kind, 0), since_ms=NOW_MS,
                  due_from_ms=NOW_MS)  # fmt: skip
    now_ms = fresh_ms = NOW_MS
    for verdict, hours, is_fresh, by_hand in looks:
        now_ms += int(hours * HOUR_MS)
        fresh_ms = now_ms if is_fresh else fresh_ms
        judged = () if verdict is None else (Judged(arm="2", metric="errors", verdict=verdict),)
        if by_hand is not None and stages.accepts(state.place, by_hand):
            state = moved(state, by_hand, course, now_ms)
        call = due(Scene(
            state=state, spec=SPEC, course=course, now_ms=now_ms,
            facts=Facts(verdicts=judged, fresh_ms=fresh_ms),
        ))  # fmt: skip
        before, place = share(state, course), state.place
        if call is not None:
            state = moved(state, call.signal, course, now_ms)
        if verdict is Verdict.HARM and place.kind not in {*FINAL, Kind.ROLLING_BACK}:
            assert state.place.kind is Kind.ROLLING_BACK
        stage = course[place.step]
        if share(state, course) > before and required(SPEC, stage.kind.value, stage.stage):
            assert verdict is Verdict.SAFE


def share(state, course):
    return traffic(SPEC, course, state.place, dropped=()).shares[0:1] or (1.0,)


def moved(state, signal, course, now_ms):
    after = stages.advance(course, state.place, signal)
    return folded(state, [state.decided(signal, after, person(), at_ms=now_ms)])


@pytest.mark.parametrize("silent_h", [0.2, 0.3])
def test_traffic_that_nobody_sees_for_blind_after_goes_back(ready, silent_h):
    begun(ready)
    ticked(ready, 1)  # supervised, one per cent
    now_ms = NOW_MS + int((1 + silent_h) * HOUR_MS)

    decision = tick(
        ready, "fraud-42", replace(GOOD, fresh_ms=NOW_MS + HOUR_MS), now_ms=now_ms, wall_ms=now_ms
    )

    kind = Kind.ROLLING_BACK if silent_h > 0.25 else Kind.CANARY
    assert decision.after.kind is kind
    with reading(ready) as connection:
        [now] = routes.newest(connection)
    assert now.expires_at == now_ms + routes.VALID_MS
