"""Bad input that only intake can see: each is counted and kept, and stops nothing beside it."""

import pytest

from streams import deadletters
from streams.db.engine import reading
from streams.envelopes import pack
from tests.streams import spine
from tests.streams.histories import DAY, MINUTE, Sent
from tests.streams.oracle import pid16

ANSWER = {
    "type": "io.penstock.prediction.v1", "model": "m", "version": "v1", "time": spine.T0,
    "prediction_id": "a-1", "output": {"label": "x", "score": 0.9},
}  # fmt: skip
LABEL = {
    "type": "io.penstock.label.v1", "model": "m", "label_id": "l1", "prediction_id": "a-1",
    "label": "x", "time": spine.T0,
}  # fmt: skip
GOOD = ANSWER | {"prediction_id": "good"}


@pytest.fixture
def count(store, log):
    """Counts these events as one record, with a good one at its end; returns what is stored."""

    def count(*events, partition=0):
        log.put(partition, spine.T0, Sent((0, 0, [*events, GOOD])).lines)
        spine.settle(spine.pipeline(log, store), log, store)
        found = spine.content(store)
        assert any(key[2] == pid16("good") for key in found["answers"])
        return found

    return count


def letters(store):
    with reading(store) as connection:
        found = deadletters.page(connection)
    return [(x.code, x.field, x.partition, x.log_offset, x.idx) for x in found]


def cells(found, *what):
    return {
        name: n for key, named in found["cells"].items() if key[0][: len(what)] == what
        for name, n in named.items()
    }  # fmt: skip


def test_a_label_for_nothing_waits_and_is_counted_as_orphan(store, count):
    found = count(LABEL)

    assert len(found["orphans"]) == 1
    assert cells(found, "intake", "orphan") == {"events": 1}
    assert letters(store) == []


def test_a_version_that_answers_twice_differently_keeps_its_first_answer(store, count):
    found = count(ANSWER, ANSWER | {"output": {"label": "y", "score": 0.9}})

    assert letters(store) == [("conflict", "output", 0, 0, 1)]
    assert cells(found, "intake", "conflict") == {"events": 1}
    assert {row["decision"] for row in found["answers"].values()} == {("class", "x")}


def test_a_score_that_differs_by_less_than_a_ten_thousandth_is_a_repeat(store, count):
    found = count(ANSWER, ANSWER | {"output": {"label": "x", "score": 0.90009}})

    assert letters(store) == []
    assert cells(found, "intake", "duplicate") == {"events": 1}


def test_two_versions_that_both_answer_live_are_a_conflict_and_both_are_kept(store, count):
    found = count(ANSWER, ANSWER | {"version": "v2"})

    assert letters(store) == []
    assert cells(found, "pipe", "m", "v2")["conflicts"] == 1
    assert cells(found, "intake", "conflict") == {"events": 1}


@pytest.mark.parametrize("before", [[ANSWER], []], ids=["attached", "waiting"])
def test_a_label_id_that_comes_again_with_another_truth_keeps_its_first(store, count, before):
    found = count(*before, LABEL, LABEL | {"label": "y"})

    assert letters(store) == [("conflict", "label_id", 0, 0, 1 + len(before))]
    assert cells(found, "intake", "conflict") == {"events": 1}
    said = [row[0] for row in found["labels"].values()]
    assert said == [("class", "x")] * len(before)


@pytest.mark.parametrize("event", [ANSWER, LABEL], ids=["answer", "label"])
def test_an_event_from_beyond_retention_is_too_late(store, count, event):
    found = count(event | {"time": spine.T0 - 90 * DAY - 1})

    assert letters(store) == [("too_late", "time", 0, 0, 0)]
    assert cells(found, "rejected", "too_late") == {"events": 1}


def test_an_event_from_just_within_retention_is_taken(store, count):
    count(ANSWER | {"time": spine.T0 - 90 * DAY})

    assert letters(store) == []


@pytest.mark.parametrize(("ahead_ms", "skewed"), [(5 * MINUTE, 0), (5 * MINUTE + 1, 1)])
def test_a_time_in_the_future_is_the_logs_and_marked_when_far_ahead(store, count, ahead_ms, skewed):
    found = count(ANSWER | {"time": spine.T0 + ahead_ms})

    assert {row["event_ms"] for row in found["answers"].values()} == {spine.T0}
    assert cells(found, "pipe").get("skewed", 0) == skewed
    assert letters(store) == []


def test_an_event_that_was_sent_on_twice_and_is_still_astray_is_a_dead_letter(store, log):
    log.put(0, spine.T0, Sent((0, 0, [ANSWER])).lines)
    log.append("events", [(1, pack(Sent((0, 0, [LABEL])).lines, appended_ms=spine.T0, hops=2))])
    spine.settle(spine.pipeline(log, store), log, store)

    assert letters(store) == [("misrouted", "", 1, 0, 0)]


def test_an_unknown_route_version_is_no_evidence_and_is_counted(count):
    found = count(ANSWER | {"route_version": 99})

    assert cells(found, "pipe")["unknown_route"] == 1
    assert {row["epoch"] for row in found["answers"].values()} == {0}


def test_an_audit_label_that_came_before_its_answer_is_joined(store, count):
    found = count(LABEL | {"source": "audit"}, ANSWER)

    assert letters(store) == []
    assert len(found["labels"]) == 1


def test_a_label_that_claims_to_be_an_audits_is_a_dead_letter_wherever_it_was_written(store, count):
    found = count(ANSWER, LABEL | {"source": "audit", "audit": {"pi": 0.5}})

    assert letters(store) == [("reserved_field", "audit", 0, 0, 1)]
    assert found["labels"] == {}


FORGED = (
    pack([b'{"type":"io.penstock.label.v1"}', b"{"], key="\0"),
    b'{"type":"io.penstock.refused.v1","code":"\\u0000","field":"\\u0000","detail":"\\u0000",'
    b'"index":7,"raw":"\\u0000"}',
    b'{"type":"io.penstock.refused.v1","code":"x","field":"","detail":"","index":1e12,"raw":""}',
    b'{"penstock":1,"hops":99999999}\n{}',
    b"",
)


@pytest.mark.parametrize("record", FORGED, ids=range(len(FORGED)))
def test_a_record_that_was_made_to_do_harm_is_dead_letters_and_stops_nothing(
    store, log, count, record
):
    log.append("events", [(0, record)])

    count()

    assert {place[2:4] for place in letters(store)} == {(0, 0)}


def test_a_record_that_claims_to_be_from_the_future_does_not_set_the_clock_ahead(store, log):
    ahead = ANSWER | {"time": spine.T0 + 9 * DAY}
    body = pack(Sent((0, 0, [ahead])).lines, appended_ms=spine.T0 + 9 * DAY)
    log.append("events", [(0, body)])
    spine.settle(spine.pipeline(log, store), log, store)

    (row,) = spine.content(store)["answers"].values()

    assert row["event_ms"] <= log.now_ms()


def test_feedback_that_only_takes_back_is_not_counted(count):
    feedback = {
        "type": "io.penstock.feedback.v1", "model": "m", "name": "stars", "time": spine.T0,
        "unit_id": "u", "route": "default",
    }  # fmt: skip
    given = feedback | {"feedback_id": "f1", "value": 5}

    found = count(given, feedback | {"feedback_id": "f2", "supersedes": "f1"})

    assert cells(found, "reported") == {}
