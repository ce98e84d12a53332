"""The embedded log: every topic of one installation in one SQLite file.

Offsets are given inside the write transaction, so several processes may append and no offset is
ever skipped. Commits are on disk (synchronous=FULL) when `append` returns.
"""

import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streams.db import sqlite
from streams.db.clock import Clock
from streams.errors import ConfigError, ConflictError, InputError
from streams.logs import embedded_file as file
from streams.logs.base import Bounds, Kept, TopicState
from streams.logs.embedded_reader import EmbeddedReader
from streams.logs.embedded_retention import delete_dropped, delete_passed, shrink

_HOLD_S = 0.010
"""What deleting takes of the file at once; with its commit it stays under 25 ms."""
_PAUSE_S = 0.002


class EmbeddedLog:
    """A `Log` in the file at `path`, which is made if it is not there. Safe between threads.

    Raises ConfigError for a file that is not a log, is damaged or was written by a newer
    release, and UnavailableError when the disk is full or another process holds the file.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._db = file.open_file(path)

    def ensure(
        self,
        topic: str,
        partitions: int,
        *,
        retention_ms: int | None = None,
        retention_bytes: int | None = None,
    ) -> TopicState:
        """As `Log.ensure`; a retention that is given replaces the one that stands."""
        if not 1 <= partitions <= file.MAX_PARTITIONS:
            raise InputError(
                f"a topic has 1 to {file.MAX_PARTITIONS} partitions, not {partitions}",
                field="partitions",
                rule="range",
            )
        with self._writing() as db:
            if db.execute("SELECT 1 FROM topic WHERE name = ?", (topic,)).fetchone() is None:
                _create(db, topic, partitions)
            _, state = file.topic(db, topic)
            if state.partitions != partitions:
                raise ConflictError(
                    f"topic {topic!r} has {state.partitions} partitions, not {partitions}",
                    why="the number of partitions is fixed when a topic is made",
                )
            db.execute(
                "UPDATE topic SET retention_ms = coalesce(?, retention_ms),"
                " retention_bytes = coalesce(?, retention_bytes) WHERE name = ?",
                (retention_ms, retention_bytes, topic),
            )
        return state

    def state(self, topic: str) -> TopicState:
        with self._looking() as db:
            return file.topic(db, topic)[1]

    def append(self, topic: str, values: Sequence[tuple[int, bytes]]) -> list[int]:
        with self._writing() as db:
            topic_no, state = file.topic(db, topic)
            appended_ms = self.now_ms()
            ends: dict[int, int] = {}
            grown: Counter[int] = Counter()
            offsets, rows = [], []
            for partition, value in values:
                end = ends[partition] if partition in ends else _end(db, topic_no, partition, state)
                offsets.append(end)
                rows.append((file.rowid(topic_no, partition, end), appended_ms, value))
                ends[partition] = end + 1
                grown[partition] += len(value)
            db.executemany("INSERT INTO record VALUES (?, ?, ?)", rows)
            db.executemany(
                'UPDATE partition SET "end" = ?, bytes = bytes + ? WHERE id = ?',
                [(end, grown[p], file.rowid(topic_no, p, 0)) for p, end in ends.items()],
            )
        return offsets

    def bounds(self, topic: str) -> dict[int, Bounds]:
        with self._looking() as db:
            return file.bounds(db, file.topic(db, topic)[0])

    def kept(self, topic: str) -> Kept:
        with self._looking() as db:
            file.topic(db, topic)
            row = db.execute(
                "SELECT retention_ms, retention_bytes FROM topic WHERE name = ?", (topic,)
            ).fetchone()
        return Kept(retention_ms=row[0], retention_bytes=row[1])

    def reader(self, topic: str, *, group: str | None) -> EmbeddedReader:
        """As `Log.reader`; it is assigned every partition, whatever its group."""
        del group
        return EmbeddedReader(self._path, self.state(topic))

    def trim(self, topic: str, *, now_ms: int) -> int:
        """No record of the topic is past its retention; returns how many were deleted.

        The oldest go first, so that each partition loses a prefix, in many short transactions.
        The file gives back what the next appends do not need.
        """
        with self._looking() as db:
            topic_no, _ = file.topic(db, topic)
        deleted = self._in_steps(lambda db: delete_passed(db, topic_no, now_ms=now_ms))
        self._in_steps(shrink)
        return deleted

    def drop(self, topic: str) -> None:
        """There is no such topic; one made later under this name has another id.

        Its records, and those of a drop that was cut short, are deleted in short transactions.
        """
        with self._writing() as db:
            topic_no, _ = file.topic(db, topic)
            db.execute("UPDATE topic SET name = NULL WHERE no = ?", (topic_no,))
        self._in_steps(delete_dropped)
        self._in_steps(shrink)

    def now_ms(self) -> int:
        return self._clock.domain_ms()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _looking(self) -> Iterator[sqlite3.Connection]:
        with self._lock, sqlite.translated(str(self._path)):
            sqlite.begin_read(self._db)
            try:
                yield self._db
            finally:
                self._db.rollback()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction; nothing of it stays when the block or the commit raises."""
        with self._lock, sqlite.translated(str(self._path)):
            sqlite.begin_write(self._db)
            try:
                yield self._db
                self._db.commit()
            finally:
                # Some errors end the transaction by themselves; a failed commit leaves it open.
                if self._db.in_transaction:
                    self._db.rollback()

    def _in_steps(self, step: Callable[[sqlite3.Connection], int]) -> int:
        """The sum of `step`s until one returns 0, without keeping writers or readers waiting."""
        total = 0
        while True:
            with self._writing() as db:
                release = time.monotonic() + _HOLD_S
                done = step(db)
                total += done
                while done and time.monotonic() < release:
                    done = step(db)
                    total += done
            if not done:
                return total
            time.sleep(_PAUSE_S)


def _end(db: sqlite3.Connection, topic_no: int, partition: int, state: TopicState) -> int:
    if not 0 <= partition < state.partitions:
        raise file.no_partition(partition, state)
    first = file.rowid(topic_no, partition, 0)
    row = db.execute('SELECT "end" FROM partition WHERE id = ?', (first,)).fetchone()
    return int(row[0])


def _create(db: sqlite3.Connection, topic: str, partitions: int) -> None:
    topic_no = file.number(db, "SELECT coalesce(max(no), -1) + 1 FROM topic")
    if topic_no >= file.MAX_TOPICS:
        raise ConfigError(f"a log holds at most {file.MAX_TOPICS} topics")
    db.execute(
        "INSERT INTO topic (no, name, topic_id, partitions) VALUES (?, ?, ?, ?)",
        (topic_no, topic, uuid.uuid4().hex, partitions),
    )
    db.executemany(
        "INSERT INTO partition (id) VALUES (?)",
        [(file.rowid(topic_no, partition, 0),) for partition in range(partitions)],
    )
