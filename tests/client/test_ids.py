import threading
import time
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st
from penstock_client.ids import LOTS, Ids, lot_of, minute_of


def test_ids_are_uuid7_of_the_present_millisecond():
    before_ms = time.time_ns() // 1_000_000

    made = uuid.UUID(Ids().new())

    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before_ms <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_ids_only_grow_within_a_process():
    ids = Ids()

    made = [ids.new("unit" if index % 2 else None) for index in range(20_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_grow_even_when_the_clock_steps_back(monkeypatch):
    ids, clock = Ids(), [2_000_000_000_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: clock[0])

    first = ids.new()
    clock[0] -= 3_600 * 10**9
    second = ids.new()

    assert first < second


def test_threads_never_make_the_same_id():
    ids, made = Ids(), []
    threads = [
        threading.Thread(target=lambda: made.extend(ids.new("unit") for _ in range(2_000)))
        for _ in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 8_000


@settings(deadline=None)
@given(st.text(max_size=200).filter(lambda text: text.isprintable()))
def test_an_id_carries_the_lot_of_its_unit(unit):
    assert lot_of(Ids().new(unit)) == lot_of(unit)


@settings(deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"[0-9a-z]{8}-[0-9a-z]{4}-7[0-9a-z]{3}-.{18}"))
def test_every_key_has_a_lot_and_a_minute(key):
    printable = key.encode("utf-8", "ignore").decode()

    assert 0 <= lot_of(printable) < LOTS
    assert minute_of(printable, now_ms=90_000) % 60_000 == 0


def test_lots_of_requests_without_a_unit_are_spread_evenly():
    ids = Ids()

    low = sum(lot_of(ids.new()) < LOTS // 2 for _ in range(10_000))

    assert 4_700 < low < 5_300


def test_the_minute_is_that_of_the_id_and_now_for_foreign_ids():
    made = Ids().new()

    assert minute_of(made, now_ms=0) == (uuid.UUID(made).int >> 80) // 60_000 * 60_000
    assert minute_of("order-17", now_ms=61_000) == 60_000
