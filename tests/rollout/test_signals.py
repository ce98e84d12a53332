"""The one signal that is due: who outranks whom, what holds an advance, and what is never safe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evidence.decision import Verdict
from rollout import courses, stages
from rollout.courses import Kind, Place
from rollout.decisions import Evidence, Judged, Person, Time
from rollout.gates import waits
from rollout.objections import Objection, objections
from rollout.scenes import Facts, Reached, Scene
from rollout.signals import due
from rollout.spec import Freeze, Full, HarmBudget, Least, Metric, Shadow, Stage, VersionRef
from rollout.stages import Signal
from rollout.states import State
from streams.models import DAY_MS, HOUR_MS
from tests.rollout.test_stages import WHOLE, spec

T0 = 1_795_000_000_000  # a Wednesday
SPEC = replace(
    spec(WHOLE, blind_after="15m"),
    metrics=(
        Metric(name="errors", source="prediction"),
        Metric(name="drift", source="drift", ceiling=1.0),
    ),
)
BOTH = replace(SPEC, challengers=(VersionRef(version="2"), VersionRef(version="3")))
COURSE = courses.course(SPEC)
NAMES = {step.name: k for k, step in enumerate(COURSE)}
FRIDAY = Freeze(cron="0 0 * * *", length="23h")
ANN = Person(name="ann", reason="it is fine")


def judged(verdict, *, arm="2", metric="errors", part="", **numbers) -> Judged:
    return Judged(arm=arm, metric=metric, slice=part, verdict=verdict, **numbers)


def scene(step="canary[1]", *verdicts, hours=7.0, kind=None, of=SPEC, fields=None, **facts):
    """A rollout that came to `step` so many hours ago, with these verdicts and fresh evidence."""
    place = Place(kind or COURSE[NAMES[step]].kind, NAMES[step])
    state = State(
        rollout="r", revision="sha256:1", seq=9, place=place, since_ms=T0, due_from_ms=T0,
        **(fields or {}),
    )  # fmt: skip
    now_ms = T0 + int(hours * HOUR_MS)
    known = Facts(verdicts=verdicts, **({"fresh_ms": now_ms} | facts))
    return Scene(state=state, spec=of, course=courses.course(of), facts=known, now_ms=now_ms)


def signal(*args, **fields):
    call = due(scene(*args, **fields))
    return None if call is None else call.signal


SAFE, HARM = judged(Verdict.SAFE), judged(Verdict.HARM)
OPEN, NOTHING = judged(Verdict.UNDECIDED), judged(Verdict.NO_DATA)
INVALID = judged(Verdict.INVALID, reasons=("sample ratio",))
LATE_H = 5 * 24  # after the canary's deadline of four days


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (Signal.ADVANCE, {"v": [SAFE]}),
        (None, {"v": [SAFE], "hours": 5.9}),  # dwell: 6h
        (None, {"v": []}),
        (None, {"v": [NOTHING]}),
        (None, {"v": [OPEN]}),
        (None, {"v": [SAFE], "following_up": True}),
        (Signal.HARM, {"v": [HARM]}),
        (Signal.HARM, {"v": [HARM], "hours": LATE_H}),
        (Signal.HARM, {"v": [HARM], "fresh_ms": T0, "broken": ("schema",)}),
        (Signal.BLIND, {"v": [SAFE], "fresh_ms": T0}),
        (Signal.BLIND, {"v": [SAFE], "fresh_ms": T0, "broken": ("schema",), "hours": LATE_H}),
        (Signal.INVALID, {"v": [INVALID]}),
        (Signal.INVALID, {"v": [SAFE], "broken": ("misassigned: 3 %",), "hours": LATE_H}),
        (Signal.DEADLINE, {"v": [OPEN], "hours": LATE_H}),
        (Signal.DEADLINE, {"v": [SAFE], "hours": LATE_H}),
    ],
)
def test_who_outranks_whom_in_a_canary(expected, given):
    given = dict(given)

    assert signal("canary[1]", *given.pop("v"), **given) == expected


def test_harm_goes_back_from_every_stage_and_pause_in_a_freeze_and_before_any_floor():
    frozen = replace(SPEC, freeze=(FRIDAY,))
    for step in NAMES:
        for kind in (None, Kind.PAUSED):
            assert signal(step, HARM, kind=kind, of=frozen, hours=0.01) is Signal.HARM


def test_harm_names_what_was_proven_and_keeps_the_whole_table():
    call = due(scene("ab", HARM, judged(Verdict.SAFE, metric="drift")))

    assert call.cause == Evidence(
        verdicts=(HARM, judged(Verdict.SAFE, metric="drift")),
        reasons=("2: errors: proven worse than its margin allows",),
    )


def test_harm_of_a_protected_slice_is_harm_of_its_guardrail():
    assert signal("ab", SAFE, judged(Verdict.HARM, part="new_accounts")) is Signal.HARM


def test_harm_of_a_metric_that_is_no_guardrail_holds_and_never_goes_back():
    wanting = stages_with(Shadow(require=("errors", "drift"), deadline="10d"))
    drifted = judged(Verdict.HARM, metric="drift")

    assert signal("shadow", SAFE, drifted, of=wanting) is None
    assert signal("shadow", SAFE, judged(Verdict.SAFE, metric="drift"), of=wanting) is (
        Signal.ADVANCE
    )


def test_a_score_holds_while_it_is_above_its_ceiling_and_nobody_calls_it_safe():
    wanting = stages_with(Shadow(require=("errors", "drift"), deadline="10d"))

    def at(score):
        return judged(Verdict.UNDECIDED, metric="drift", estimate=score, limit=1.0)

    assert signal("shadow", SAFE, at(1.4), of=wanting) is None
    assert signal("shadow", SAFE, at(0.4), of=wanting) is Signal.ADVANCE
    assert signal("shadow", SAFE, judged(Verdict.NO_DATA, metric="drift"), of=wanting) is None


def stages_with(shadow, of=SPEC):
    return replace(of, stages=(Stage(shadow=shadow), *of.stages[1:]))


@pytest.mark.parametrize("step", ["supervised", "canary[0]", "approval", "ab", "probation"])
def test_with_traffic_and_without_evidence_it_goes_back_after_blind_after(step):
    for kind in (None, Kind.PAUSED):
        given = {"kind": kind, "fresh_ms": T0 - DAY_MS}
        assert signal(step, SAFE, hours=0.249, **given) in (None, Signal.ADVANCE)
        assert signal(step, SAFE, hours=0.25, **given) is Signal.BLIND
        assert signal(step, SAFE, hours=0.25, **(given | {"fresh_ms": None})) is Signal.BLIND


def test_shadow_is_never_blind_because_nobody_acts_on_it():
    assert signal("shadow", OPEN, fresh_ms=None) is None


def test_a_pause_that_nobody_ends_goes_back_at_the_deadline_unless_the_stage_says_pause():
    assert signal("canary[1]", OPEN, kind=Kind.PAUSED, hours=LATE_H) is Signal.DEADLINE
    assert signal("canary[1]", SAFE, kind=Kind.PAUSED) is None
    assert signal("supervised", OPEN, hours=LATE_H) is Signal.DEADLINE
    assert signal("supervised", OPEN, kind=Kind.PAUSED, hours=LATE_H) is None


def test_what_a_deadline_found_open_stands_in_its_cause():
    cause = due(scene("canary[1]", OPEN, hours=LATE_H)).cause

    assert cause == Time(
        due_ms=T0 + 4 * DAY_MS,
        reasons=("the deadline of canary is over: 4d", "2: errors: undecided"),
    )


def test_an_approval_waits_for_its_signatures_and_then_says_who_signed():
    assert waits(scene("approval"))[0].reason == "0 of 1 signatures"
    call = due(scene("approval", fields={"signed": (ANN,)}))

    assert call.signal is Signal.ADVANCE
    assert call.cause.reasons == ("signed by ann: it is fine",)


def test_a_freeze_holds_an_advance_a_signed_approval_and_the_end_and_says_until_when():
    frozen = replace(SPEC, freeze=(FRIDAY,))
    begun_ms = T0 - T0 % DAY_MS

    assert signal("canary[1]", SAFE, of=frozen) is None
    assert signal("approval", of=frozen, fields={"signed": (ANN,)}) is None
    assert signal("probation", of=frozen, hours=22 * 24) is None
    [wait] = waits(scene("canary[1]", SAFE, of=frozen))
    assert (wait.reason, wait.until_ms) == ("a freeze", begun_ms + 23 * HOUR_MS)


def test_floors_are_waited_for_with_their_numbers():
    least = Least(pairs=20_000, audited=300, age="24h")
    floored = stages_with(Shadow(require="guardrails", deadline="10d", least=least))
    so_far = {"2": Reached(pairs=1_200, audited=300)}

    found = waits(scene("shadow", SAFE, of=floored, reached=so_far, hours=23))

    assert [(each.reason, each.until_ms) for each in found] == [
        ("min.age: 24h", T0 + DAY_MS),
        ("2: 1,200 of 20,000 pairs", None),
    ]
    enough = {"2": Reached(pairs=20_000, audited=300)}
    assert signal("shadow", SAFE, of=floored, reached=enough, hours=24) is Signal.ADVANCE


def test_the_harm_budget_holds_by_its_estimate_and_goes_back_by_its_least():
    budget = replace(SPEC, harm_budget=HarmBudget(metric="errors", extra=50))

    assert signal("ab", SAFE, of=budget, extra_least=10.0, extra_estimate=49.0) is Signal.ADVANCE
    assert signal("ab", SAFE, of=budget, extra_least=10.0, extra_estimate=51.0) is None
    assert signal("ab", SAFE, of=budget, extra_least=51.0, extra_estimate=90.0) is Signal.HARM
    assert signal("ab", SAFE, extra_least=51.0, extra_estimate=90.0) is Signal.ADVANCE


BUDGET = replace(SPEC, harm_budget=HarmBudget(metric="errors", extra=50))


def ends_with(full):
    return replace(BUDGET, stages=(*BUDGET.stages[:-1], Stage(full=full)))


UNPROVEN = {"extra_least": 10.0, "extra_estimate": 51.0}


@pytest.mark.parametrize(
    ("of", "to"),
    [
        (BUDGET, Kind.ROLLING_BACK),
        (replace(BUDGET, on_deadline="pause"), Kind.PAUSED),
        (ends_with(Full(probation="21d", on_deadline="pause")), Kind.PAUSED),
    ],
    ids=["back by default", "asked by the spec", "asked by the stage"],
)
def test_a_probation_over_its_budget_waits_once_more_as_long_and_then_ends(of, to):
    before, due_ = (scene("probation", of=of, hours=h * 24, **UNPROVEN) for h in (41.9, 42))
    assert due(before) is None

    call = due(due_)

    assert call.signal is Signal.DEADLINE
    assert call.cause.reasons == (
        "the deadline of probation is over: twice 21d",
        "about 51 extra bad outcomes, of 50 at most",
    )
    assert stages.advance(due_.course, due_.state.place, call.signal).kind is to


def test_who_ends_a_probation_over_its_budget_answers_for_the_cost():
    (against,) = objections(scene("probation", of=BUDGET, hours=1, **UNPROVEN))

    assert against == Objection("errors", "about 51 extra bad outcomes, of 50 at most")
    assert objections(scene("probation", of=BUDGET, extra_estimate=50.0)) == ()


def test_a_probation_may_name_its_deadline():
    of = ends_with(Full(probation="21d", deadline="30d"))

    assert signal("probation", of=of, hours=30 * 24 - 1, **UNPROVEN) is None
    assert signal("probation", of=of, hours=30 * 24, **UNPROVEN) is Signal.DEADLINE


def test_a_probation_that_is_through_ends_well_whenever_somebody_looks():
    kept = UNPROVEN | {"extra_estimate": 50.0}
    frozen = replace(BUDGET, freeze=(FRIDAY,))

    assert signal("probation", of=BUDGET, hours=60 * 24, **kept) is Signal.FINISH
    assert signal("probation", of=frozen, hours=60 * 24, **kept) is None  # a freeze ends by itself
    assert signal("probation", of=frozen, hours=60 * 24, **UNPROVEN) is Signal.DEADLINE


def test_a_paused_probation_ends_at_its_deadline_unless_that_asks_people():
    asks = replace(SPEC, on_deadline="pause")

    assert signal("probation", kind=Kind.PAUSED, hours=42 * 24) is Signal.DEADLINE
    assert signal("probation", kind=Kind.PAUSED, of=asks, hours=42 * 24) is None


def test_of_two_challengers_the_one_that_harms_goes_and_the_other_goes_on():
    other = judged(Verdict.SAFE, arm="3")
    call = due(scene("canary[1]", HARM, other, of=BOTH))
    assert (call.signal, call.arm) == (Signal.DROP, "2")

    assert signal("canary[1]", HARM, other, of=BOTH, fields={"dropped": ("2",)}) is Signal.ADVANCE
    harm = judged(Verdict.HARM, arm="3")
    assert signal("canary[1]", HARM, harm, of=BOTH) is Signal.HARM
    assert signal("canary[1]", harm, of=BOTH, fields={"dropped": ("2",)}) is Signal.HARM


def test_nobody_advances_while_one_of_two_is_open():
    assert signal("canary[1]", SAFE, judged(Verdict.UNDECIDED, arm="3"), of=BOTH) is None
    assert signal("canary[1]", SAFE, of=BOTH) is None


@pytest.mark.parametrize(("better", "worst"), [("lower", "3"), ("higher", "2")])
def test_full_weight_is_for_the_best_by_its_goal(better, worst):
    metrics = (Metric(name="errors", source="prediction", better=better),)
    two = replace(BOTH, metrics=metrics)
    looks = (
        judged(Verdict.SAFE, arm="2", estimate=-0.01),
        judged(Verdict.SAFE, arm="3", estimate=0.002),
    )

    call = due(scene("ab", *looks, of=two))
    assert (call.signal, call.arm) == (Signal.DROP, worst)
    assert signal("ab", *looks, of=two, fields={"dropped": (worst,)}) is Signal.ADVANCE


def test_probation_ends_when_it_is_over_and_late_harm_ends_it_before():
    assert signal("probation", hours=21 * 24 - 1) is None
    assert signal("probation", hours=21 * 24) is Signal.FINISH
    assert signal("probation", HARM, hours=21 * 24) is Signal.HARM


def test_what_goes_back_is_back_once_no_service_has_a_challenger():
    back = {"kind": Kind.ROLLING_BACK, "hours": LATE_H}

    assert signal("ab", HARM, **back) is None
    assert signal("ab", HARM, restored=True, **back) is Signal.RESTORED


@pytest.mark.parametrize("kind", [Kind.DRAFT, Kind.PLANNED, *sorted(courses.FINAL)])
def test_nothing_is_due_for_what_has_not_begun_or_has_ended(kind):
    given = {"kind": kind, "restored": True, "broken": ("all",), "fresh_ms": None}

    assert signal("ab", HARM, hours=10_000, **given) is None


LOOKS = st.lists(
    st.builds(
        Judged, arm=st.sampled_from("23"), metric=st.sampled_from(["errors", "drift"]),
        verdict=st.sampled_from(Verdict), slice=st.sampled_from(["", "eu"]),
    ),
    max_size=6,
)  # fmt: skip
STEPS = st.sampled_from([name for name in NAMES if name not in ("supervised", "approval")])


@given(LOOKS, STEPS, st.sampled_from([SPEC, BOTH]))
def test_taking_evidence_away_never_lets_a_rollout_advance(looks, step, of):
    here = scene(step, *looks, of=of)
    if due(here) is not None and due(here).signal is Signal.ADVANCE and here.required():
        names = set(here.required())
        rest = tuple(v for v in looks if v.metric not in names or v.slice)
        assert due(replace(here, facts=replace(here.facts, verdicts=rest))) is None


@given(LOOKS, STEPS, st.sampled_from([SPEC, BOTH]))
def test_whatever_is_known_a_guardrails_harm_goes_back_or_drops_its_challenger(looks, step, of):
    here = scene(step, *looks, HARM, of=of)

    call = due(here)
    assert call.signal in (Signal.HARM, Signal.DROP)
    if step == "probation":
        here = replace(here, state=replace(here.state, dropped=("3",)))
    assert (call.signal is Signal.HARM) == all(
        any(v.arm == arm and v.metric == "errors" and v.verdict is Verdict.HARM
            for v in (*looks, HARM))
        for arm in here.left
    )  # fmt: skip


@given(LOOKS, st.sampled_from(sorted(NAMES)), st.floats(0, 40 * 24), st.booleans())
def test_what_is_due_means_something_where_the_rollout_stands(looks, step, hours, is_paused):
    here = scene(step, *looks, hours=hours, kind=Kind.PAUSED if is_paused else None)

    call = due(here)
    if call is not None:
        stages.advance(here.course, here.state.place, call.signal)
