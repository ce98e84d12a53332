"""Group commit: every caller gets its own offsets, and no caller pays for another's mistake."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.db.clock import Clock
from streams.errors import ConfigError, InputError, UnavailableError
from streams.logs.embedded import EmbeddedLog
from streams.logs.group_commit import GroupCommit


class Counted:
    """A log that counts its appends and, while `gate` is closed, holds them back."""

    def __init__(self, log):
        self.log = log
        self.appends = 0
        self.gate = threading.Event()
        self.gate.set()

    def append(self, topic, values):
        self.gate.wait()
        self.appends += 1
        return self.log.append(topic, values)


@pytest.fixture
def log(tmp_path):
    log = EmbeddedLog(tmp_path / "log.db", clock=Clock())
    log.ensure("events", 3)
    log.ensure("mirror", 1)
    yield log
    log.close()


def held(log, topic):
    reader = log.reader(topic, group="test")
    for partition in reader.assigned():
        reader.seek(partition, 0)
    found = {}
    while records := reader.poll(max_bytes=1 << 20, timeout_s=0):
        found |= {(record.partition, record.offset): record.value for record in records}
    reader.close()
    return found


def test_every_caller_gets_the_offsets_of_its_own_records_in_fewer_commits(log):
    counted = Counted(log)
    group = GroupCommit(counted, window_s=0.02)

    def call(i):
        values = [(i % 3, b"%d" % i), ((i + 1) % 3, b"%d" % i)]
        offsets = group.append("events", values).result()
        return {(p, offset): value for (p, value), offset in zip(values, offsets, strict=True)}

    with ThreadPoolExecutor(16) as callers:
        told = list(callers.map(call, range(64)))
    group.close()

    assert held(log, "events") == {place: value for one in told for place, value in one.items()}
    assert sum(map(len, told)) == 128
    assert counted.appends < 32


def test_one_caller_appends_to_several_topics_in_its_order(log):
    group = GroupCommit(log)

    futures = [group.append(topic, [(0, b"a")]) for topic in ("events", "mirror") * 3]
    group.close()

    assert [future.result() for future in futures] == [[0], [0], [1], [1], [2], [2]]


def test_a_wrong_partition_fails_its_caller_alone(log):
    group = GroupCommit(log, window_s=0.02)

    good, bad, also_good = (group.append("events", [(p, b"x")]) for p in (0, 9, 0))
    group.close()

    assert (good.result(), also_good.result()) == ([0], [1])
    with pytest.raises(InputError):
        bad.result()


def test_a_full_disk_fails_the_whole_group_and_the_next_one_is_written(log):
    pages = log._db.execute("PRAGMA page_count").fetchone()[0]
    log._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    group = GroupCommit(log, window_s=0.02)

    futures = [group.append("events", [(0, bytes(100_000))]) for _ in range(3)]
    errors = [future.exception() for future in futures]
    log._db.execute("PRAGMA max_page_count = 1000000")
    after = group.append("events", [(0, b"x")]).result()
    group.close()

    assert [type(error) for error in errors] == [UnavailableError] * 3
    assert after == [0]


def test_closing_writes_what_was_taken_and_refuses_what_comes_later(log):
    group = GroupCommit(log, window_s=0.02)

    taken = [group.append("events", [(0, b"x")]) for _ in range(5)]
    group.close()
    late = group.append("events", [(0, b"late")])

    assert [future.result(0) for future in taken] == [[0], [1], [2], [3], [4]]
    assert isinstance(late.exception(0), UnavailableError)


def test_a_caller_that_gave_up_is_not_written_and_too_much_is_not_kept_waiting(log):
    counted = Counted(log)
    counted.gate.clear()
    group = GroupCommit(counted, window_s=0, waiting_bytes=10)
    under_way = group.append("events", [(0, b"1")])
    while not under_way.running():
        threading.Event().wait(0.001)

    waiting = group.append("events", [(1, b"2")])
    gave_up = group.append("events", [(2, b"3")])
    too_much = group.append("events", [(0, b"123456789")])
    gave_up.cancel()
    counted.gate.set()
    group.close()

    assert isinstance(too_much.exception(0), UnavailableError)
    assert (under_way.result(0), waiting.result(0)) == ([0], [0])
    assert held(log, "events") == {(0, 0): b"1", (1, 0): b"2"}


def test_an_async_handler_awaits_its_offsets(log):
    group = GroupCommit(log)

    async def handle():
        return await asyncio.gather(
            *(asyncio.wrap_future(group.append("events", [(0, b"x")])) for _ in range(10))
        )

    offsets = asyncio.run(handle())
    group.close()

    assert offsets == [[i] for i in range(10)]


def test_nobody_waits_longer_than_twenty_milliseconds_for_company(log):
    with pytest.raises(ConfigError):
        GroupCommit(log, window_s=0.021)
