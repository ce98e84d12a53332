"""A chain of decisions names what was changed in it, and its fold is where a rollout stands."""

import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.decision import Verdict
from rollout import stages
from rollout.courses import Kind, Place
from rollout.decisions import GENESIS, Evidence, Judged, Person, canonical, decoded, verified
from rollout.stages import Signal
from rollout.states import Pause, State, folded
from streams.errors import InputError
from tests.rollout.histories import BEGUN, histories
from tests.rollout.test_stages import COURSE

ANN = Person(name="ann", reason="it is time", via="cli")


def played(*signals: Signal, state: State = BEGUN, cause=ANN) -> list:
    """The decisions that these signals come to, a second apart."""
    found = []
    for signal in signals:
        after = stages.advance(COURSE, state.place, signal)
        found.append(state.decided(signal, after, cause, at_ms=1_000 * (state.seq + 1)))
        state = folded(state, found[-1:])
    return found


@given(histories(), st.data())
def test_folding_a_part_and_then_the_rest_is_folding_the_whole(history, data):
    cut = data.draw(st.integers(0, len(history)))

    assert folded(folded(BEGUN, history[:cut]), history[cut:]) == folded(BEGUN, history)


@given(histories())
def test_a_chain_as_it_was_written_is_verified(history):
    assert verified([canonical(each) for each in history]) == history


@given(histories().filter(bool), st.data())
def test_one_flipped_byte_is_named_by_its_record(history, data):
    bodies = [canonical(each) for each in history]
    k = data.draw(st.integers(0, len(bodies) - 1))
    at = data.draw(st.integers(0, len(bodies[k]) - 1))
    flipped = bytearray(bodies[k])
    flipped[at] ^= data.draw(st.integers(1, 255))
    bodies[k] = bytes(flipped)

    with pytest.raises(InputError) as told:
        verified(bodies)

    assert (told.value.line, told.value.field) == (k + 1, f"decisions[{k + 1}]")


@given(histories().filter(lambda history: len(history) > 2), st.data())
def test_a_record_that_is_left_out_or_moved_is_named(history, data):
    bodies = [canonical(each) for each in history]
    k = data.draw(st.integers(0, len(bodies) - 2))

    for wrong in ([*bodies[:k], *bodies[k + 1 :]], [*bodies[:k], bodies[k + 1], bodies[k]]):
        with pytest.raises(InputError) as told:
            verified(wrong)
        assert told.value.line == k + 1


def test_anybody_can_recompute_a_hash_without_our_code():
    first, second = (json.loads(canonical(each)) for each in played(Signal.PLAN, Signal.START))

    claimed = first.pop("hash")
    text = json.dumps(first, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert "sha256:" + hashlib.sha256(text.encode()).hexdigest() == claimed
    assert (first["previous"], second["previous"]) == (GENESIS, claimed)
    assert (first["from"]["kind"], first["to"]["kind"]) == ("draft", "planned")


def test_another_spelling_of_a_record_is_not_the_record():
    [first] = played(Signal.PLAN)

    for body in (b" " + canonical(first), json.dumps(json.loads(canonical(first))).encode()):
        with pytest.raises(InputError, match="canonical"):
            decoded(body)


def test_the_chain_is_of_one_rollout():
    mine = played(Signal.PLAN)
    other = played(Signal.PLAN, state=State(rollout="spam", revision=BEGUN.revision))

    for wrong in (other, [*mine, *mine]):
        with pytest.raises(InputError, match="does not follow"):
            folded(BEGUN, wrong)


def test_a_pause_keeps_the_time_of_the_step_and_a_resume_gives_its_deadline_anew():
    history = played(Signal.PLAN, Signal.START, Signal.PAUSE, Signal.RESUME)

    paused, resumed = folded(BEGUN, history[:3]), folded(BEGUN, history)

    assert (paused.since_ms, paused.due_from_ms) == (2_000, 2_000)
    assert paused.pauses == (Pause(3_000, None, Signal.PAUSE),)
    assert (resumed.since_ms, resumed.due_from_ms) == (2_000, 4_000)
    assert resumed.pauses == (Pause(3_000, 4_000, Signal.PAUSE),)


def test_a_deadline_counts_for_a_whole_canary_and_a_dwell_for_each_of_its_steps():
    history = played(Signal.PLAN, Signal.START, *[Signal.ADVANCE] * 3)

    second = folded(BEGUN, history)

    assert COURSE[second.place.step].name == "canary[1]"
    assert (second.since_ms, second.due_from_ms) == (5_000, 4_000)


def test_signatures_are_of_one_revision_and_one_stage():
    history = played(Signal.PLAN, Signal.START, *[Signal.ADVANCE] * 4, Signal.SIGN)
    signed = folded(BEGUN, history)

    assert signed.place == Place(Kind.APPROVAL, 4)
    assert signed.signed == (ANN,)
    for signal in (Signal.REVISE, Signal.ADVANCE):
        assert folded(signed, played(signal, state=signed)).signed == ()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_say_is_refused(value):
    with pytest.raises(InputError, match="log_harm"):
        Judged(arm="42", metric="errors", verdict=Verdict.HARM, log_harm=value)


def test_a_whole_number_is_read_as_it_was_sealed():
    look = Judged(arm="42", metric="errors", verdict=Verdict.SAFE, estimate=1, lower=-0.0)
    cause = Evidence(verdicts=(look,), reasons=())

    [made] = played(Signal.PLAN, cause=cause)

    assert verified([canonical(made)]) == [made]
    assert made.cause.verdicts[0].estimate == 1.0


@pytest.mark.parametrize("reason", ["x" * 2_001, "caf\udce9", "a\0b"])
def test_a_reason_that_cannot_be_kept_is_refused(reason):
    with pytest.raises(InputError, match="reason"):
        Person(name="ann", reason=reason)
