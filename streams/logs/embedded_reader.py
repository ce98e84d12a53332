"""Reading the embedded log: a connection of its own that sleeps until the file changes."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from streams.db import sqlite
from streams.errors import ConflictError, InputError
from streams.logs import embedded_file as file
from streams.logs.base import GapError, Record, TopicState

_SOON_S = 0.001
_AT_REST_S = 0.020
"""How often a waiting reader looks: right after activity, and after a while without any."""


class EmbeddedReader:
    """A `Reader` that is assigned every partition and holds no snapshot between polls."""

    def __init__(self, path: Path, state: TopicState) -> None:
        self._path = path
        self._state = state
        self._next: dict[int, int] = {}
        self._turn = dict.fromkeys(range(state.partitions), 0)  # the poll that served it last
        self._polls = 0
        self._seen: int | None = None  # the file's version that held nothing more to read
        self._look_s = _SOON_S
        self._db = file.open_file(path)
        self._db.execute("PRAGMA query_only = ON")

    def assigned(self) -> frozenset[int]:
        return frozenset(range(self._state.partitions))

    def seek(self, partition: int, offset: int) -> None:
        if partition not in self._turn:
            raise file.no_partition(partition, self._state)
        if offset < 0:
            raise InputError(f"offset {offset} is negative", field="offset", rule="range")
        self._next[partition] = offset
        self._seen = None

    def poll(self, *, max_bytes: int, timeout_s: float) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        with sqlite.translated(str(self._path)):
            while not (records := self._look(max_bytes)):
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return []
                time.sleep(min(self._look_s, left_s))
                self._look_s = min(self._look_s * 1.5, _AT_REST_S)
        self._look_s = _SOON_S
        return records

    def counted(self, next_offsets: Mapping[int, int]) -> None:
        """Nothing: the store's positions are all there is to see."""

    def close(self) -> None:
        self._db.close()

    def _look(self, max_bytes: int) -> list[Record]:
        # The version is read before the records: a commit in between is seen at the next look.
        version = sqlite.waiting(lambda: file.number(self._db, "PRAGMA data_version"))
        if version == self._seen:
            return []
        sqlite.begin_read(self._db)
        try:
            records = self._read(max_bytes)
        finally:
            self._db.rollback()
        if not records:
            self._seen = version
        return records

    def _read(self, max_bytes: int) -> list[Record]:
        """Up to `max_bytes` of records, shared among the partitions that have any.

        The one that was served longest ago comes first and gets at least one record.
        """
        topic_no = self._topic_no()
        bounds = file.bounds(self._db, topic_no)
        for partition, wanted in self._next.items():
            begin = bounds[partition].begin
            if wanted < begin:
                raise GapError(self._state.name, partition, wanted=wanted, begin=begin)
        ready = sorted(
            (p for p, wanted in self._next.items() if wanted < bounds[p].end),
            key=self._turn.__getitem__,
        )
        self._polls += 1
        records: list[Record] = []
        left = max_bytes
        for place, partition in enumerate(ready):
            taken = self._take(
                topic_no,
                partition,
                share=left // (len(ready) - place),
                room=left if records else sys.maxsize,
            )
            if taken:
                left -= sum(len(record.value) for record in taken)
                records += taken
                self._next[partition] = taken[-1].offset + 1
                self._turn[partition] = self._polls
        return records

    def _take(self, topic_no: int, partition: int, *, share: int, room: int) -> list[Record]:
        """The next records of one partition within `share`, or one alone within `room`."""
        rows = self._db.execute(
            "SELECT id, appended_ms, value FROM record WHERE id >= ? AND id < ? ORDER BY id",
            (
                file.rowid(topic_no, partition, self._next[partition]),
                file.rowid(topic_no, partition + 1, 0),
            ),
        )
        taken: list[Record] = []
        size = 0
        for row_id, appended_ms, value in rows:
            size += len(value)
            if size > share and (taken or size > room):
                break
            taken.append(Record(partition, file.place(row_id)[1], appended_ms, value))
        rows.close()
        return taken

    def _topic_no(self) -> int:
        row = self._db.execute(
            "SELECT no FROM topic WHERE topic_id = ? AND name IS NOT NULL", (self._state.topic_id,)
        ).fetchone()
        if row is None:
            raise ConflictError(
                f"topic {self._state.name!r} was dropped while it was read",
                fix="open a reader on the topic that stands now",
            )
        return int(row[0])
