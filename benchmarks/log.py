"""How fast the embedded log takes and gives events, against SQLite itself in the same run.

    python -m benchmarks.log [--json]

Events are 300 bytes, a hundred in an envelope, as ingest writes them. Every rate is the median of
five rounds in a fresh file; log and SQLite take turns, so that a busy machine slows both.
"""

import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, tell
from streams.db import sqlite
from streams.db.clock import Clock
from streams.logs.embedded import EmbeddedLog
from streams.logs.embedded_reader import EmbeddedReader
from streams.logs.group_commit import GroupCommit

EVENTS = 100
ENVELOPE = os.urandom(EVENTS * 300)
ENVELOPES = 2_000
GROUP = 35  # envelopes in the megabyte that group commit joins
PARTITIONS = 12
ROUNDS = 5


def raw(folder: Path, *, per_commit: int) -> float:
    """Events a second of a bare `executemany` into a table of envelopes."""
    db = sqlite3.connect(folder / "raw.db")
    sqlite.prepare(db, synchronous="FULL")
    db.execute("CREATE TABLE record (id INTEGER PRIMARY KEY, appended_ms INTEGER, value BLOB)")
    started = time.perf_counter()
    for first in range(0, ENVELOPES, per_commit):
        ids = range(first, min(first + per_commit, ENVELOPES))
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO record VALUES (?, 0, ?)", [(i, ENVELOPE) for i in ids])
        db.commit()
    rate = _rate(started)
    db.close()
    return rate


def grouped(folder: Path) -> float:
    """Events a second through group commit, from callers that do not wait for each other."""
    log = _log(folder)
    group = GroupCommit(log)
    started = time.perf_counter()
    futures = [group.append("events", [(i % PARTITIONS, ENVELOPE)]) for i in range(ENVELOPES)]
    for future in futures:
        future.result()
    rate = _rate(started)
    group.close()
    log.close()
    return rate


def single(folder: Path) -> float:
    """Events a second of one caller that waits for each envelope to be on disk."""
    log = _log(folder)
    started = time.perf_counter()
    for i in range(ENVELOPES):
        log.append("events", [(i % PARTITIONS, ENVELOPE)])
    rate = _rate(started)
    log.close()
    return rate


def read(folder: Path) -> float:
    """Events a second that one reader is given."""
    log = _log(folder)
    for first in range(0, ENVELOPES, 100):
        log.append("events", [((first + i) % PARTITIONS, ENVELOPE) for i in range(100)])
    reader = _reader(log)
    started = time.perf_counter()
    count = 0
    while count < ENVELOPES:
        count += len(reader.poll(max_bytes=4 << 20, timeout_s=0))
    rate = _rate(started)
    reader.close()
    log.close()
    return rate


def idle(folder: Path) -> float:
    """The share of a core that a reader with nothing to read takes."""
    log = _log(folder)
    reader = _reader(log)
    reader.poll(max_bytes=1, timeout_s=0.5)
    started = time.process_time()
    reader.poll(max_bytes=1, timeout_s=2.0)
    share = (time.process_time() - started) / 2.0
    reader.close()
    log.close()
    return share


def append_during_trim(folder: Path) -> float:
    """The longest append, in ms, of another connection while 60 MB are deleted."""
    log, other = _log(folder), _log(folder)
    for _ in range(20):
        log.append("events", [(i % PARTITIONS, ENVELOPE) for i in range(100)])
    log.ensure("events", PARTITIONS, retention_bytes=0)
    trimming = threading.Thread(target=log.trim, args=("events",), kwargs={"now_ms": 0})
    longest_s = 0.0
    trimming.start()
    while trimming.is_alive():
        started = time.perf_counter()
        other.append("events", [(0, ENVELOPE)])
        longest_s = max(longest_s, time.perf_counter() - started)
        time.sleep(0.001)
    trimming.join()
    other.close()
    log.close()
    return longest_s * 1000


def main(arguments: list[str]) -> None:
    ours, bare = _in_turn(grouped, lambda folder: raw(folder, per_commit=GROUP))
    one, bare_one = _in_turn(single, lambda folder: raw(folder, per_commit=1))
    (reading,) = _in_turn(read)
    (resting,) = _in_turn(idle)
    (waiting,) = _in_turn(append_during_trim)
    for name, value, unit, goal, against in (
        ("log.embedded.append", ours, "events/s", f">= {0.8 * bare:.0f}", f"raw SQLite {bare:.0f}"),
        (
            "log.embedded.append.single",
            one,
            "events/s",
            f">= {0.7 * bare_one:.0f}",
            f"raw {bare_one:.0f}",
        ),
        ("log.embedded.read", reading, "events/s", ">= 2000000", "2.3 M/s of single-event rows"),
        ("log.embedded.idle", resting, "share of a core", "<= 0.01", "nothing to read"),
        ("log.embedded.append.during_trim", waiting, "ms, longest", "<= 25", "60 MB being deleted"),
    ):
        tell(Figure(name, value, unit, goal, against), as_json="--json" in arguments)


def _in_turn(*measures: Callable[[Path], float]) -> list[float]:
    """The median of each measure over rounds in which they follow each other."""
    rounds = []
    for _ in range(ROUNDS):
        values = []
        for measure in measures:
            with tempfile.TemporaryDirectory() as folder:
                values.append(measure(Path(folder)))
        rounds.append(values)
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def _log(folder: Path) -> EmbeddedLog:
    log = EmbeddedLog(folder / "log.db", clock=Clock())
    log.ensure("events", PARTITIONS)
    return log


def _reader(log: EmbeddedLog) -> EmbeddedReader:
    reader = log.reader("events", group="benchmark")
    for partition in reader.assigned():
        reader.seek(partition, 0)
    return reader


def _rate(started: float) -> float:
    return ENVELOPES * EVENTS / (time.perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1:])
