"""What the store knows of requests, whatever names them, and what expires."""

import pytest
from sqlalchemy import func, select

from streams import expiry, ledger
from streams.answer_rows import Answers
from streams.db.bulk import request_key
from streams.db.engine import reading, writing
from streams.errors import ConflictError
from streams.hashing import day_of, pid16
from streams.tables import answer, join_row, label, orphan
from tests.streams import spine
from tests.streams.histories import DAY, REQUESTS, Sent

DATED, OLD_AND_DATED = REQUESTS[0], "01900000-0000-7000-8000-000000000001"  # of June 2024


def key(text):
    return request_key(day_of(text), pid16(text), 1)


def an_answer(request, version="v1", **fields):
    return {
        "type": "io.penstock.prediction.v1", "model": "m", "version": version,
        "prediction_id": request, "time": spine.T0, "output": {"label": "x"}, **fields,
    }  # fmt: skip


def a_label(**fields):
    return {"type": "io.penstock.label.v1", "model": "m", "label_id": "l1", "label": "x",
            "time": spine.T0, **fields}  # fmt: skip


@pytest.fixture
def count(store, log):
    """Counts these events, each a record of its own, and returns the pipeline."""

    def count(*events):
        for event in events:
            log.put(0, log.clock.now_ms, Sent((0, 0, [event])).lines)
        worker = spine.pipeline(log, store)
        worker.drain()
        return worker

    return count


def probe(store, keys=(), groups=()):
    with reading(store) as connection:
        return ledger.probe(connection, map(key, keys), map(key, groups))


def versions(stored, request):
    return [row.version_no for row in stored.answers.get(key(request), ())]


def test_a_request_is_found_by_its_id_with_answers_by_position_and_labels(store, count):
    for request in (DATED, "a-1"):
        count(an_answer(request, "v2"), an_answer(request, "v1"), a_label(prediction_id=request))

    stored = probe(store, [DATED, "a-1", "unknown"])

    assert [row.log_offset for row in stored.answers[key(DATED)]] == [0, 1]
    assert len(versions(stored, "a-1")) == 2
    assert [truth.by_join for _, truth in stored.labels[key("a-1")]] == [0]
    assert stored.answers.keys() == {key(DATED), key("a-1")}


def test_a_join_key_finds_every_request_that_carried_it_with_what_labels_say_of_it(store, count):
    answers = (an_answer(request, join_key="order") for request in (DATED, "a-1"))
    count(*answers, a_label(join_key="order"))

    stored = probe(store, groups=["order"])

    assert sorted(stored.members[key("order")]) == sorted([key(DATED), key("a-1")])
    assert stored.answers.keys() == {key(DATED), key("a-1")}
    assert [truth.by_join for _, truth in stored.labels[key("order")]] == [1]


def test_a_request_named_by_id_brings_the_others_of_its_join_key(store, count):
    count(an_answer("a-1", join_key="order"), an_answer("a-2", join_key="order"))

    stored = probe(store, ["a-1"])

    assert stored.groups[key("a-1")] == key("order")
    assert stored.answers.keys() == {key("a-1"), key("a-2")}


def test_an_id_that_is_also_a_join_key_is_both(store, count):
    count(an_answer("a-1"), an_answer("a-2", join_key="a-1"))

    stored = probe(store, ["a-1"], ["a-1"])

    assert stored.members == {key("a-1"): [key("a-2")]}
    assert stored.answers.keys() == {key("a-1"), key("a-2")}


def test_labels_that_wait_are_found_by_what_they_name(store, count):
    count(a_label(prediction_id="a-1"), a_label(join_key="order"))

    stored = probe(store, ["a-1"], ["order"])

    assert stored.orphans.keys() == {key("a-1"), key("order")}


def test_a_row_that_another_worker_wrote_first_is_a_conflict(store, count):
    count(an_answer("a-1"))
    row = tuple(probe(store, ["a-1"]).answers[key("a-1")][0])

    with pytest.raises(ConflictError), writing(store) as connection:
        ledger.save(connection, ledger.Added(Answers.of([row]), [], [], [], [], [], [], []))


def expire(store, before_ms, limit=100):
    with writing(store) as connection:
        return expiry.expire(connection, before_ms=before_ms, limit=limit)


def left(store):
    with reading(store) as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (answer, label, join_row, orphan)
        }


def test_requests_expire_by_the_day_in_their_id_or_by_their_time_and_counters_stay(store, count):
    count(*(an_answer(request) for request in (DATED, OLD_AND_DATED, "a-1")))
    counted = spine.content(store)["cells"]

    assert expire(store, spine.T0 - DAY) == 1
    assert expire(store, spine.T0 + 2 * DAY) == 2
    assert expire(store, spine.T0 + 2 * DAY) == 0

    assert left(store)["answer"] == 0
    assert spine.content(store)["cells"] == counted


def test_expiry_goes_in_steps(store, count):
    count(*(an_answer(f"a-{k}") for k in range(5)))

    assert [expire(store, spine.T0 + DAY, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_what_labels_said_of_a_join_key_goes_with_the_last_request_that_carried_it(store, count):
    late = an_answer("a-2", join_key="order", time=spine.T0 - 50 * DAY)
    count(late, an_answer("a-1", join_key="order"), a_label(join_key="order"))

    expire(store, spine.T0 - DAY)
    assert left(store) == {"answer": 1, "label": 1, "join_row": 1, "orphan": 0}
    expire(store, spine.T0 + DAY)
    assert left(store) == {"answer": 0, "label": 0, "join_row": 0, "orphan": 0}


def test_a_label_that_never_found_its_request_expires(store, count):
    count(a_label(prediction_id="a-1"))

    assert expire(store, spine.T0) == 0
    assert expire(store, spine.T0 + 1) == 1
    assert left(store)["orphan"] == 0
