"""Every stage is reached, final ones accept nothing, and the way back is open from all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import courses, stages
from rollout.courses import FINAL, LIVE, Kind, Place
from rollout.spec import (
    ABTest,
    Approval,
    Canary,
    Full,
    Metric,
    Scope,
    Shadow,
    Spec,
    Stage,
    Supervised,
    VersionRef,
)
from rollout.stages import TABLE, Signal
from streams.errors import IllegalTransitionError, InputError

WHOLE = (
    Stage(shadow=Shadow(require="guardrails", deadline="10d")),
    Stage(
        supervised=Supervised(
            weight=1,
            where=Scope(tag="region", values=("EU",)),
            confirm_within="10m",
            deadline="3d",
            on_deadline="pause",
        )
    ),
    Stage(canary=Canary(weights=(2, 5), dwell="6h", require="guardrails", deadline="4d")),
    Stage(approval=Approval(people=("risk",), deadline="2d")),
    Stage(ab=ABTest(weight=50, goal="errors", deadline="35d")),
    Stage(full=Full(probation="21d")),
)


def spec(entries, **fields):
    return Spec(
        model="m", route="r", champion=VersionRef(version="1"),
        challengers=(VersionRef(version="2"),),
        metrics=(Metric(name="errors", source="prediction"),), guardrails=("errors",),
        stages=tuple(entries), **fields,
    )  # fmt: skip


COURSE = courses.course(spec(WHOLE))
KEPT = st.sets(st.integers(0, len(WHOLE) - 1), min_size=1).map(sorted)


def walk(course, signals):
    place = Place(Kind.DRAFT)
    for signal in signals:
        place = stages.advance(course, place, signal)
    return place


def reachable(course):
    """Every place that some signals lead to."""
    found, ahead = set(), [Place(Kind.DRAFT)]
    while ahead:
        place = ahead.pop()
        if place not in found:
            found.add(place)
            ahead += [
                stages.advance(course, place, signal)
                for signal in Signal
                if stages.accepts(place, signal)
            ]
    return found


def test_a_course_spells_out_every_weight_and_an_approval_keeps_the_one_before_it():
    assert [(step.name, step.weight) for step in COURSE] == [
        ("shadow", 0), ("supervised", 1), ("canary[0]", 2), ("canary[1]", 5), ("approval", 5),
        ("ab", 50), ("probation", 100),
    ]  # fmt: skip


def test_advancing_walks_the_course_and_ends_done():
    place = walk(COURSE, [Signal.PLAN, Signal.START])
    seen = [place.kind]
    for _ in COURSE[1:]:
        place = stages.advance(COURSE, place, Signal.ADVANCE)
        seen.append(place.kind)

    assert seen == [step.kind for step in COURSE]
    assert stages.advance(COURSE, place, Signal.FINISH).kind is Kind.DONE


def test_every_kind_of_place_is_reached():
    assert {place.kind for place in reachable(COURSE)} == set(Kind)


@given(KEPT)
def test_any_subset_of_the_stages_in_order_is_a_course(kept):
    course = courses.course(spec([WHOLE[k] for k in kept]))
    for place in reachable(course):
        if place.kind in LIVE | {Kind.PAUSED}:
            back = stages.advance(course, place, Signal.ROLLBACK)
            assert back.kind is Kind.ROLLING_BACK
            assert stages.advance(course, back, Signal.RESTORED).kind is Kind.ROLLED_BACK


def test_harm_and_blindness_go_back_from_wherever_a_challenger_may_answer():
    for place in reachable(COURSE):
        if place.kind in LIVE | {Kind.PAUSED}:
            for signal in (Signal.HARM, Signal.BLIND):
                assert stages.advance(COURSE, place, signal).kind is Kind.ROLLING_BACK


def test_final_places_accept_nothing():
    for kind in FINAL:
        for signal in Signal:
            with pytest.raises(IllegalTransitionError, match=kind.value):
                stages.advance(COURSE, Place(kind, 0), signal)


def test_a_pause_comes_back_to_the_very_step_it_left():
    for step in range(len(COURSE)):
        place = Place(COURSE[step].kind, step)
        if stages.accepts(place, Signal.PAUSE):
            paused = stages.advance(COURSE, place, Signal.PAUSE)
            assert courses.weight(COURSE, paused) == courses.weight(COURSE, place)
            assert stages.advance(COURSE, paused, Signal.RESUME) == place


def test_a_deadline_does_what_the_stage_declares_else_what_the_spec_does():
    ends = {
        step.name: stages.advance(COURSE, Place(step.kind, k), Signal.DEADLINE).kind
        for k, step in enumerate(COURSE[:-1])
    }
    assert ends.pop("supervised") is Kind.PAUSED
    assert set(ends.values()) == {Kind.ROLLING_BACK}
    pausing = courses.course(spec(WHOLE, on_deadline="pause"))
    assert stages.advance(pausing, Place(Kind.SHADOW, 0), Signal.DEADLINE).kind is Kind.PAUSED


def test_no_weight_is_left_once_a_rollout_goes_back():
    for place in reachable(COURSE):
        if place.kind in {Kind.ROLLING_BACK, Kind.ROLLED_BACK, Kind.CANCELLED, Kind.DRAFT}:
            assert courses.weight(COURSE, place) == 0


def test_only_a_course_that_ends_in_full_weight_leaves_the_challenger_there():
    promoted = walk(COURSE, [Signal.PLAN, Signal.START, *[Signal.ADVANCE] * 6, Signal.FINISH])
    assert courses.weight(COURSE, promoted) == 100
    watched = courses.course(spec(WHOLE[:1]))
    done = walk(watched, [Signal.PLAN, Signal.START, Signal.ADVANCE])
    assert (done.kind, courses.weight(watched, done)) == (Kind.DONE, 0)


def test_a_stage_that_is_two_or_out_of_order_is_refused_by_its_place():
    with pytest.raises(InputError) as two:
        courses.course(spec([Stage(shadow=WHOLE[0].shadow, ab=WHOLE[4].ab)]))
    assert two.value.field == "stages[0]"
    for wrong in ([WHOLE[2], WHOLE[0]], [WHOLE[2], WHOLE[2]]):
        with pytest.raises(InputError, match="out of order"):
            courses.course(spec(wrong))


def test_an_approval_keeps_scope_and_confirmation_of_the_step_before_it():
    course = courses.course(spec([WHOLE[1], WHOLE[3]]))
    assert (course[1].weight, course[1].scope, course[1].confirm_ms) == (
        1, course[0].scope, 600_000,
    )  # fmt: skip
    alone = courses.course(spec([WHOLE[3]]))
    assert (alone[0].weight, alone[0].scope, alone[0].confirm_ms) == (0, None, 0)


@given(KEPT, KEPT)
def test_an_edit_keeps_the_step_where_a_rollout_stands_or_is_refused(kept, others):
    before, after = (courses.course(spec([WHOLE[k] for k in some])) for some in (kept, others))
    for place in reachable(before):
        names = [step.name for step in after]
        if place.step < 0 or before[place.step].name in names:
            try:
                there = courses.moved(before, after, place)
            except InputError:
                assert before[place.step].kind is Kind.APPROVAL  # it stands after another step
                continue
            assert there.kind is place.kind
            assert courses.weight(after, there) == courses.weight(before, place)
        else:
            with pytest.raises(InputError, match="takes that step away"):
                courses.moved(before, after, place)


def test_the_table_names_every_signal():
    assert {signal for _, signal in TABLE} == set(Signal)
