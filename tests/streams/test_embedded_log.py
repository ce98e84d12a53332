"""What the embedded log does beyond the law of every log: its file, its disk, its retention."""

import sqlite3
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.db.clock import Clock
from streams.errors import ConfigError, ConflictError, UnavailableError
from streams.logs.base import Bounds
from streams.logs.embedded import EmbeddedLog

DAY_MS = 86_400_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.db"


@pytest.fixture
def log(path):
    log = at(path, 0)
    log.ensure("events", 2)
    yield log
    log.close()


def at(path: Path, now_ms: int) -> EmbeddedLog:
    """The log in `path` with a clock that stands at `now_ms`."""
    return EmbeddedLog(path, clock=Clock(origin_domain_ms=now_ms, speed=0.0))


def records(log: EmbeddedLog, topic: str = "events") -> list[tuple[int, int, int]]:
    """The partition, offset and size of every record that is left."""
    reader = log.reader(topic, group="test")
    for partition, bounds in log.bounds(topic).items():
        reader.seek(partition, bounds.begin)
    found = []
    while more := reader.poll(max_bytes=1 << 30, timeout_s=0):
        found += [(record.partition, record.offset, len(record.value)) for record in more]
    reader.close()
    return sorted(found)


appends = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2_000_000), st.integers(0, 5)), max_size=12
)


@settings(
    derandomize=True,
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(appends, st.none() | st.integers(0, 6), st.none() | st.integers(0, 4_000_000))
def test_retention_deletes_the_oldest_and_no_more_than_it_must(
    tmp_path_factory, history, retention_ms, retention_bytes
):
    path = tmp_path_factory.mktemp("log") / "log.db"
    log = at(path, 0)
    log.ensure("events", 2, retention_ms=retention_ms, retention_bytes=retention_bytes)
    written, ends = [], defaultdict(int)
    for partition, size, appended_ms in sorted(history, key=lambda append: append[2]):
        clocked = at(path, appended_ms)
        clocked.append("events", [(partition, bytes(size))])
        clocked.close()
        written.append((appended_ms, partition, ends[partition], size))
        ends[partition] += 1

    deleted = log.trim("events", now_ms=6)

    kept, size = sorted(written), sum(size for *_, size in written)
    while kept and (
        (retention_ms is not None and kept[0][0] < 6 - retention_ms)
        or (retention_bytes is not None and size > retention_bytes)
    ):
        size -= kept.pop(0)[3]
    left = [(partition, offset, size) for _, partition, offset, size in kept]
    assert deleted == len(written) - len(left)
    assert len(records(log)) == len(left)
    assert sum(size for *_, size in records(log)) == size
    assert {p: b.end for p, b in log.bounds("events").items()} == {0: ends[0], 1: ends[1]}
    assert log.trim("events", now_ms=6) == 0
    log.close()


def test_a_clock_that_ran_backwards_still_leaves_a_whole_suffix(log, path):
    log.ensure("events", 2, retention_ms=5)
    for now_ms in (10, 0, 10, 0):
        clocked = at(path, now_ms)
        clocked.append("events", [(0, b"x")])
        clocked.close()

    early = log.trim("events", now_ms=14)
    late = log.trim("events", now_ms=16)

    assert (early, late) == (0, 4)
    assert log.bounds("events")[0] == Bounds(begin=4, end=4)


def test_a_topic_without_retention_keeps_everything(log):
    log.append("events", [(0, b"x")])

    assert log.trim("events", now_ms=1000 * DAY_MS) == 0


def test_a_retention_given_later_replaces_the_one_that_stood(log):
    log.append("events", [(0, b"x")])
    log.ensure("events", 2, retention_ms=DAY_MS)
    log.ensure("events", 2)

    before = log.trim("events", now_ms=DAY_MS)
    after = log.trim("events", now_ms=DAY_MS + 1)

    assert (before, after) == (0, 1)


def test_the_space_of_what_was_deleted_is_given_back(log, path):
    for _ in range(20):
        log.append("events", [(0, bytes(1_000_000))])
    log.ensure("events", 2, retention_bytes=1_000_000)

    log.trim("events", now_ms=0)

    log.close()
    assert 1_000_000 < path.stat().st_size < 1_500_000


def test_a_drop_that_was_cut_short_is_finished_by_the_next(log, path):
    log.ensure("cut", 2)
    log.append("cut", [(0, b"x"), (1, b"y")])
    log.ensure("other", 1)
    with sqlite3.connect(path) as killed:
        killed.execute("UPDATE topic SET name = NULL WHERE name = 'cut'")
    killed.close()

    log.drop("other")

    with sqlite3.connect(path) as db:
        names = db.execute("SELECT name FROM topic").fetchall()
        counts = db.execute("SELECT (SELECT count(*) FROM partition), count(*) FROM record")
        assert (names, counts.fetchone()) == ([("events",)], (2, 0))
    db.close()


def test_a_reader_of_a_dropped_topic_is_told(log):
    reader = log.reader("events", group="test")
    reader.seek(0, 0)
    log.drop("events")
    log.ensure("events", 2)

    with pytest.raises(ConflictError):
        reader.poll(max_bytes=1000, timeout_s=0)

    reader.close()


def test_a_waiting_reader_does_not_keep_the_log_file_growing(log, path):
    log.append("events", [(0, b"a"), (0, b"b")])
    reader = log.reader("events", group="test")
    reader.seek(0, 0)
    reader.poll(max_bytes=1, timeout_s=0)

    db = sqlite3.connect(path)
    is_blocked, pages, moved = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.close()

    assert (is_blocked, pages, moved) == (0, 0, 0)
    reader.close()


def test_a_full_disk_appends_nothing_and_the_log_works_again_with_space(log):
    log.append("events", [(0, b"before")])
    pages = log._db.execute("PRAGMA page_count").fetchone()[0]
    log._db.execute(f"PRAGMA max_page_count = {pages + 2}")

    with pytest.raises(UnavailableError, match="full"):
        log.append("events", [(0, b"small"), (1, bytes(1_000_000))])
    held = records(log)
    log._db.execute("PRAGMA max_page_count = 1000000")
    offsets = log.append("events", [(0, b"after"), (1, b"after")])

    assert held == [(0, 0, 6)]
    assert offsets == [1, 0]


def test_a_commit_is_on_disk_when_append_returns(log):
    mode, level = (
        log._db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")
    )

    assert (mode, level) == ("wal", 2)


def test_a_missing_folder_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="not a folder"):
        at(tmp_path / "missing" / "log.db", 0)


def test_a_file_that_is_no_database_is_a_config_error_and_stays_as_it_was(path):
    path.write_bytes(b"not a database, but longer than the header of one " * 40)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match="not a database"):
        at(path, 0)

    assert path.read_bytes() == before


def test_another_programs_database_is_a_config_error_and_stays_as_it_was(path):
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    before = path.read_bytes()

    with pytest.raises(ConfigError, match="not a log"):
        at(path, 0)

    assert path.read_bytes() == before


def test_a_log_of_a_newer_release_is_a_config_error(log, path):
    log.close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 2")
    newer.close()

    with pytest.raises(ConfigError, match="format 2"):
        at(path, 0)


def test_a_damaged_log_is_a_config_error_at_the_read_that_meets_it(log, path):
    log.append("events", [(0, bytes(100_000)) for _ in range(20)])
    log.close()
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * (path.stat().st_size - 3 * 4096))

    again = at(path, 0)

    with pytest.raises(ConfigError, match="damaged"):
        records(again)
    again.close()
