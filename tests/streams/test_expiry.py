"""The ledger's days on PostgreSQL: made ahead and in passing, moved into, dropped whole."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert, text

from streams import expiry, ledger
from streams.answer_rows import Answers
from streams.db import bulk, days
from streams.db.engine import connect, reading, writing
from streams.errors import UnavailableError
from streams.hashing import pid16
from streams.models import DAY_MS
from streams.tables import LEDGER, answer, answer_blob, join_row, label
from tests.streams import spine

TODAY = expiry.day_at(spine.T0)
OLD = TODAY - 100


def a_row(day, number=1, version=1):
    return (day, number.to_bytes(16, "big"), 1, version, 0, number, 0, spine.T0, 0, 1, 0, 0, None,
            0, 1, None, 0.5, 3, None, 0, 0, 0, 0)  # fmt: skip


def a_label(day, id16, by_join=0):
    return (day, id16, 1, 1, b"label-id", by_join, 1, None, spine.T0, 0, 0, 0, 0, 0)


@pytest.fixture
def store(postgres_url):
    engine = connect(postgres_url)
    with writing(engine) as connection:
        answer.metadata.create_all(connection)
    yield engine
    engine.dispose()


def added(answers=(), labels=()):
    return ledger.Added(Answers.of(answers), [], [], list(labels), [], [], [], [])


def save(store, rows):
    with writing(store) as connection:
        ledger.save(connection, rows)


def dated(store, table=answer):
    with reading(store) as connection:
        return days.existing(connection, table)


def lie_in(store, place):
    with reading(store) as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {place}").scalar_one()


def expire(store, before_ms, limit=100):
    with writing(store) as connection:
        return expiry.expire(connection, before_ms=before_ms, limit=limit)


def test_control_makes_today_and_the_days_to_come(store):
    for _ in range(2):
        with writing(store) as connection:
            expiry.make_days(connection, now_ms=spine.T0)

    assert dated(store) == dated(store, label) == set(range(TODAY, TODAY + expiry.AHEAD + 1))
    assert dated(store, answer_blob) == set()


def test_intake_makes_the_days_it_meets_and_none_that_are_past_belief(store):
    batch = added(a_row(day) for day in (0, 1, OLD, TODAY - 5, TODAY, TODAY + 9, 13_000))

    expiry.Days(store, clock=spine.Hands()).ensure(batch)
    save(store, batch)

    assert dated(store) == {TODAY - 5, TODAY}
    assert lie_in(store, "answer_undated") == 1
    assert lie_in(store, "answer_other") == 4
    assert lie_in(store, days.name_of("answer", TODAY)) == 1


def test_workers_that_meet_a_day_at_once_make_it_once(store):
    batches = [added([a_row(TODAY - k, k) for k in range(20)]) for _ in range(6)]

    with ThreadPoolExecutor(6) as workers:
        made = [workers.submit(expiry.Days(store, clock=spine.Hands()).ensure, b) for b in batches]
        assert [one.result() for one in made] == [None] * 6
    for table in LEDGER:
        with writing(store) as connection:
            days.make(connection, table, range(TODAY - 19, TODAY + 1))

    assert dated(store) == set(range(TODAY - 19, TODAY + 1))


def test_rows_that_came_before_their_day_move_into_it(store):
    save(store, added([a_row(TODAY + 9, 1), a_row(TODAY + 9, 2), a_row(TODAY + 10, 1)]))

    with writing(store) as connection:
        days.make(connection, answer, [TODAY + 9])

    assert lie_in(store, days.name_of("answer", TODAY + 9)) == 2
    assert lie_in(store, "answer_other") == 1
    with reading(store) as connection:
        key = bulk.request_key(*a_row(TODAY + 9, 2)[:3])
        assert len(ledger.probe(connection, [key], []).answers[key]) == 1


def test_intake_goes_on_when_a_day_cannot_be_made(store):
    save(store, added([a_row(TODAY, 1)]))
    batch = added([a_row(TODAY, 2)])

    with reading(store) as reader:  # a long look at the whole ledger
        reader.execute(text("SELECT count(*) FROM answer"))
        expiry.Days(store, clock=spine.Hands()).ensure(batch)
        save(store, batch)

    assert dated(store) == set()
    assert lie_in(store, "answer_other") == 2
    expiry.Days(store, clock=spine.Hands()).ensure(batch)
    assert lie_in(store, days.name_of("answer", TODAY)) == 2


def test_a_past_day_goes_whole_one_at_a_time_and_the_oldest_first(store):
    with writing(store) as connection:
        for table in LEDGER:
            days.make(connection, table, [OLD, OLD + 1, TODAY])
    save(store, added([a_row(day, k) for day in (OLD, OLD + 1, TODAY) for k in range(9)],
                      [a_label(OLD, bytes(16))]))  # fmt: skip
    before_ms = spine.T0 - 90 * DAY_MS

    assert expire(store, before_ms) == 1
    assert dated(store) == dated(store, label) == {OLD + 1, TODAY}
    assert [expire(store, before_ms), expire(store, before_ms)] == [1, 0]

    assert dated(store) == {TODAY}
    assert (lie_in(store, "answer"), lie_in(store, "label")) == (9, 0)


def test_what_lies_among_other_days_goes_row_by_row(store):
    save(store, added([a_row(OLD, k) for k in range(3)] + [a_row(13_000)]))

    assert [expire(store, spine.T0, limit=2) for _ in range(3)] == [2, 1, 0]
    assert lie_in(store, "answer_other") == 1


def joined(store, key, join_day, *requests):
    rows = [
        {"join16": pid16(key), "join_day": join_day, "model_no": 1, "day": r[0], "pid16": r[1]}
        for r in requests
    ]
    with writing(store) as connection:
        connection.execute(insert(join_row), rows)


def test_a_label_of_a_dropped_day_stays_while_a_later_request_carries_its_join_key(store):
    with writing(store) as connection:
        for table in (answer, label):
            days.make(connection, table, [OLD, TODAY])
    past, late = a_row(OLD, 1), a_row(TODAY, 2)
    orders = {name: a_label(OLD, pid16(name), by_join=1) for name in ("both", "past", "none")}
    save(store, added([past, late], orders.values()))
    joined(store, "both", OLD, past, late)
    joined(store, "past", OLD, past)

    while expire(store, spine.T0 - 90 * DAY_MS):
        pass

    with reading(store) as connection:
        left = connection.execute(label.select()).all()
    assert [row.pid16 for row in left] == [pid16("both")]
    assert lie_in(store, "label_other") == 1
    while expire(store, spine.T0 + DAY_MS):
        pass
    assert [lie_in(store, t) for t in ("answer", "label", "join_row")] == [0, 0, 0]


def test_a_day_in_use_is_dropped_later_and_keeps_nobody_waiting_for_long(store):
    with writing(store) as connection:
        days.make(connection, answer, [OLD])
    save(store, added([a_row(OLD)]))

    with reading(store) as reader:
        reader.execute(text("SELECT count(*) FROM answer"))
        with pytest.raises(UnavailableError):
            expire(store, spine.T0)
    assert lie_in(store, "answer") == 1

    assert expire(store, spine.T0) == 1


def test_a_day_is_made_while_a_batch_is_under_way(store):
    with writing(store) as slow:
        bulk.insert(slow, answer, [a_row(0)])
        with writing(store) as other:
            days.make(other, answer, [TODAY])
        bulk.insert(slow, answer, [a_row(TODAY)])

    assert lie_in(store, days.name_of("answer", TODAY)) == 1
