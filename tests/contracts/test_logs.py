"""The law of every log: what `streams.logs.base` promises, against the protocol alone."""

import random
import subprocess
import sys
import time
import tracemalloc
import uuid
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import ConflictError, InputError
from streams.logs.base import Bounds, GapError, Log, Reader, Record
from tests.contracts.logs import Place

ROOT = Path(__file__).parents[2]
PARTITIONS = 3
PATIENCE_S = 30.0

values = st.tuples(st.integers(0, PARTITIONS - 1), st.binary(max_size=40))
histories = st.lists(st.lists(values, max_size=8), max_size=8)


def law(*drawn):
    """A property that holds on every log, tried with as many examples as the log has time for."""

    def lawful(holds):
        def test(place, log):
            chosen = settings(derandomize=True, max_examples=place.examples, deadline=None)
            chosen(given(st.just(log), *drawn)(holds))()

        test.__name__, test.__doc__ = holds.__name__, holds.__doc__
        return test

    return lawful


@pytest.fixture
def log(place: Place) -> Iterator[Log]:
    log = place.open()
    yield log
    log.close()


@contextmanager
def reading(log: Log, topic: str, *, start: int = 0, group: str = "") -> Iterator[Reader]:
    """A reader of every partition that stands at `start`, in a group of its own unless named."""
    reader = log.reader(topic, group=group or uuid.uuid4().hex)
    deadline = time.monotonic() + PATIENCE_S
    while len(reader.assigned()) < log.state(topic).partitions:
        assert time.monotonic() < deadline
        reader.poll(max_bytes=1, timeout_s=0.1)
    for partition in reader.assigned():
        reader.seek(partition, start)
    yield reader
    reader.close()


def taken(reader: Reader, count: int, *, max_bytes: int = 1 << 20) -> list[Record]:
    """The next `count` records at least."""
    records: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(records) < count and time.monotonic() < deadline:
        records += reader.poll(max_bytes=max_bytes, timeout_s=0.2)
    return records


def by_partition(records: list[Record]) -> dict[int, list[tuple[int, bytes]]]:
    places = defaultdict(list)
    for record in records:
        places[record.partition].append((record.offset, record.value))
    return dict(places)


def appended(log: Log, topic: str, history: list[list[tuple[int, bytes]]]) -> dict[int, list]:
    """What a log that was given `history` must answer."""
    expected = defaultdict(list)
    for batch in history:
        log.append(topic, batch)
        for partition, value in batch:
            expected[partition].append((len(expected[partition]), value))
    return dict(expected)


@law(histories, st.integers(1, 200))
def test_every_reader_gets_every_record_in_order_and_without_a_hole(log, history, max_bytes):
    topic = uuid.uuid4().hex
    log.ensure(topic, PARTITIONS)
    count = sum(map(len, history))

    with reading(log, topic) as early:
        expected = appended(log, topic, history)
        with reading(log, topic) as late:
            seen = taken(early, count, max_bytes=max_bytes), taken(late, count)

    assert [by_partition(records) for records in seen] == [expected, expected]


@law(histories)
def test_offsets_start_at_zero_grow_by_one_and_are_what_append_returned(log, history):
    topic = uuid.uuid4().hex
    log.ensure(topic, PARTITIONS)
    ends = dict.fromkeys(range(PARTITIONS), 0)

    for batch in history:
        offsets = log.append(topic, batch)
        for (partition, _), offset in zip(batch, offsets, strict=True):
            assert offset == ends[partition]
            ends[partition] += 1

    assert log.bounds(topic) == {p: Bounds(begin=0, end=end) for p, end in ends.items()}


@law(st.integers(1, 12), st.data())
def test_a_sought_offset_is_the_next_one_read(log, count, data):
    topic = uuid.uuid4().hex
    log.ensure(topic, 1)
    log.append(topic, [(0, b"%d" % i) for i in range(count)])
    offset = data.draw(st.integers(0, count - 1))

    with reading(log, topic) as reader:
        taken(reader, count)
        reader.seek(0, offset)
        again = taken(reader, count - offset)

    assert [record.offset for record in again] == list(range(offset, count))


def test_a_record_carries_the_logs_clock(log):
    log.ensure("events", 1)
    before_ms = log.now_ms()
    log.append("events", [(0, b"a")])
    after_ms = log.now_ms()

    with reading(log, "events") as reader:
        (record,) = taken(reader, 1)

    assert before_ms <= record.appended_ms <= after_ms


def test_an_append_with_a_wrong_partition_appends_nothing(log):
    log.ensure("events", PARTITIONS)

    for wrong in (-1, PARTITIONS):
        with pytest.raises(InputError):
            log.append("events", [(0, b"good"), (wrong, b"bad")])

    assert set(log.bounds("events").values()) == {Bounds(begin=0, end=0)}


def test_a_topic_keeps_its_number_of_partitions(log):
    first = log.ensure("events", PARTITIONS)

    with pytest.raises(ConflictError):
        log.ensure("events", PARTITIONS + 1)

    assert log.ensure("events", PARTITIONS) == first == log.state("events")


def test_a_topic_tells_how_long_and_how_much_it_keeps_over_all_partitions(log):
    log.ensure("keeping", PARTITIONS, retention_ms=3_600_000, retention_bytes=300_000_000)
    kept = log.kept("keeping")

    assert (kept.retention_ms, kept.retention_bytes) == (3_600_000, 300_000_000)


def test_a_topic_that_is_not_there_is_an_input_error(log):
    for asked in (log.state, log.bounds, lambda topic: log.append(topic, [(0, b"")])):
        with pytest.raises(InputError):
            asked("nowhere")


def test_a_topic_made_again_has_another_id_and_starts_at_zero(place, log):
    first = log.ensure("events", PARTITIONS)
    log.append("events", [(0, b"old"), (1, b"old")])

    place.drop("events")
    second = log.ensure("events", PARTITIONS)
    log.append("events", [(0, b"new")])

    assert second.topic_id != first.topic_id
    with reading(log, "events") as reader:
        assert by_partition(taken(reader, 1)) == {0: [(0, b"new")]}


def test_a_topic_knows_nothing_of_another(log):
    log.ensure("events", PARTITIONS)
    log.ensure("mirror", PARTITIONS)

    log.append("events", [(2, b"event")])
    log.append("mirror", [(0, b"mirrored"), (2, b"mirrored")])

    with reading(log, "events") as reader:
        assert by_partition(taken(reader, 1)) == {2: [(0, b"event")]}


def test_what_was_appended_is_there_after_opening_again(place, log):
    topic_id = log.ensure("events", PARTITIONS).topic_id
    log.append("events", [(0, b"a"), (1, b"b")])
    log.close()

    again = place.open()

    assert again.state("events").topic_id == topic_id
    with reading(again, "events") as reader:
        assert by_partition(taken(reader, 2)) == {0: [(0, b"a")], 1: [(0, b"b")]}
    again.close()


def test_a_poll_takes_one_record_however_large(log):
    log.ensure("events", 1)
    log.append("events", [(0, b"x" * 300_000), (0, b"y")])

    with reading(log, "events") as reader:
        first = taken(reader, 1, max_bytes=1)
        second = taken(reader, 1, max_bytes=1)

    assert [len(record.value) for record in first + second] == [300_000, 1]


def test_a_full_partition_does_not_starve_the_others(log):
    log.ensure("events", PARTITIONS)
    log.append("events", [(0, b"x" * 1000)] * 200 + [(1, b"small"), (2, b"y" * 5000)])

    with reading(log, "events") as reader:
        order = [record.partition for record in taken(reader, 202, max_bytes=1500)]

    last_of_full = max(i for i, partition in enumerate(order) if partition == 0)
    assert len(order) == 202
    assert max(order.index(1), order.index(2)) < last_of_full


def test_a_long_backlog_is_not_read_into_memory(log):
    """A reader that fetched as fast as it can, while little is polled, would hold all of it."""
    log.ensure("far-behind", 1)
    for _ in range(8):
        log.append("far-behind", [(0, random.randbytes(256 << 10)) for _ in range(64)])
    with reading(log, "far-behind") as reader:
        tracemalloc.start()
        polled = [reader.poll(max_bytes=1, timeout_s=1.0) for _ in range(100)]
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert all(len(records) == 1 for records in polled)
    assert held < 80 << 20, f"{held >> 20} MB of a backlog of 128"


def test_an_idle_poll_ends_after_its_timeout_and_a_record_ends_it_early(log):
    log.ensure("events", 1)

    with reading(log, "events") as reader, ThreadPoolExecutor(1) as other:
        started = time.monotonic()
        nothing = reader.poll(max_bytes=1000, timeout_s=0.05)
        waited_s = time.monotonic() - started
        other.submit(log.append, "events", [(0, b"a")])
        records = taken(reader, 1)

    assert nothing == []
    assert waited_s >= 0.05
    assert [record.value for record in records] == [b"a"]


def test_only_sought_partitions_are_read(log):
    log.ensure("events", PARTITIONS)
    log.append("events", [(0, b"a"), (1, b"b")])
    reader = log.reader("events", group="g")
    deadline = time.monotonic() + PATIENCE_S
    while 1 not in reader.assigned() and time.monotonic() < deadline:
        assert reader.poll(max_bytes=1000, timeout_s=0.1) == []

    reader.seek(1, 0)
    records = taken(reader, 1)
    reader.close()

    assert by_partition(records) == {1: [(0, b"b")]}


def test_a_reader_whose_place_was_deleted_gets_a_gap_error_until_it_seeks(place, log):
    log.ensure("events", PARTITIONS)
    log.append("events", [(1, b"a"), (1, b"b")])
    with reading(log, "events") as reader:
        place.forget("events")
        log.append("events", [(1, b"c"), (0, b"d")])
        reader.seek(1, 1)

        with pytest.raises(GapError) as first:
            taken(reader, 1)
        with pytest.raises(GapError):
            taken(reader, 1)
        reader.seek(1, first.value.begin)
        records = taken(reader, 2)

    assert (first.value.partition, first.value.wanted, first.value.begin) == (1, 1, 2)
    assert by_partition(records) == {0: [(0, b"d")], 1: [(2, b"c")]}


def test_what_is_counted_is_told_and_moves_nobody(place, log):
    log.ensure("events", 2)
    log.append("events", [(0, b"a"), (1, b"b"), (0, b"c")])
    expected = {} if place.kind == "embedded" else {0: 1, 1: 1}

    with reading(log, "events", group="g") as reader:
        taken(reader, 3)
        reader.counted({0: 1, 1: 1})
        deadline = time.monotonic() + PATIENCE_S
        while (told := place.committed("events", "g")) != expected:
            assert time.monotonic() < deadline, told
            reader.poll(max_bytes=1000, timeout_s=0.1)
        reader.counted({0: 2})
    with reading(log, "events", group="g") as again:
        records = taken(again, 3)

    assert by_partition(records) == {0: [(0, b"a"), (1, b"c")], 1: [(0, b"b")]}
    assert place.committed("events", "g") == (expected and {0: 2, 1: 1})


def test_bounds_outlive_the_records(place, log):
    log.ensure("events", 2)
    log.append("events", [(0, b"a")] * 5)

    place.forget("events")
    after = log.bounds("events")
    next_offset = log.append("events", [(0, b"b")])

    assert after == {0: Bounds(begin=5, end=5), 1: Bounds(begin=0, end=0)}
    assert next_offset == [5]


def appender(place: Place, tag: str, count: int) -> "subprocess.Popen[str]":
    arguments = [place.kind, place.address, "events", tag, str(count)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contracts.logs", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def acknowledged(process: "subprocess.Popen[str]") -> dict[tuple[int, int], str]:
    """What the process has printed in whole lines until it ended."""
    assert process.stdout is not None
    with process:
        lines = [line for line in process.stdout if line.endswith("\n")]
    words = [line.split() for line in lines]
    return {(int(partition), int(offset)): value for partition, offset, value in words}


def held(log: Log) -> dict[tuple[int, int], str]:
    """Every record of `events`; fails when a partition has a hole."""
    ends = {partition: bounds.end for partition, bounds in log.bounds("events").items()}
    with reading(log, "events") as reader:
        records = taken(reader, sum(ends.values()))
    for partition, end in ends.items():
        assert [r.offset for r in records if r.partition == partition] == list(range(end))
    return {(r.partition, r.offset): r.value.decode() for r in records}


def test_several_processes_append_without_a_hole_or_a_loss(place, log):
    log.ensure("events", PARTITIONS)

    processes = [appender(place, f"p{i}", 60) for i in range(3)]
    told = [acknowledged(process) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert held(log) == {**told[0], **told[1], **told[2]}
    assert sum(map(len, told)) == 180


@pytest.mark.parametrize(
    "kills",
    [3, pytest.param(20, marks=pytest.mark.crash), pytest.param(60, marks=pytest.mark.nightly)],
)
@pytest.mark.timeout(600)
def test_a_killed_appender_loses_nothing_that_was_acknowledged(place, log, kills):
    log.ensure("events", PARTITIONS)
    chance = random.Random(20)
    told: dict[tuple[int, int], str] = {}

    for kill in range(kills):
        process = appender(place, f"k{kill}", 1_000_000)
        assert process.stdout is not None
        first = process.stdout.readline().split()
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        told |= {(int(first[0]), int(first[1])): first[2]} | acknowledged(process)

    there = held(log)
    assert told.items() <= there.items()
    assert len(there) - len(told) <= kills
