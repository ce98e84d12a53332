"""Steps of deletion in the embedded log: each is short, and returns 0 once nothing is left."""

import heapq
import sqlite3
from collections.abc import Iterator

from streams.logs import embedded_file as file

_STEP_BYTES = 1 << 20
_RECORD_BYTES = 1 << 12
"""What deleting a record costs besides its bytes, so that a step of small ones is short too."""
_STEP_PAGES = 64
_FOR_EVER_MS = 1 << 62
_FREE_SHARE = 8
"""One page in so many may stay free: the next appends take it without growing the file."""

Old = tuple[int, int, int]  # appended_ms, rowid, bytes


def delete_passed(db: sqlite3.Connection, topic_no: int, *, now_ms: int) -> int:
    """The oldest records that are past the topic's retention are gone, up to one step."""
    retention_ms, retention_bytes, size = db.execute(
        "SELECT retention_ms, retention_bytes,"
        " (SELECT sum(bytes) FROM partition WHERE id BETWEEN ? AND ?) FROM topic WHERE no = ?",
        (*_ids(topic_no), topic_no),
    ).fetchone()
    before_ms = -_FOR_EVER_MS if retention_ms is None else now_ms - retention_ms
    excess = 0 if retention_bytes is None else size - retention_bytes
    return _delete_oldest(db, topic_no, before_ms=before_ms, excess=excess)


def delete_dropped(db: sqlite3.Connection) -> int:
    """The dropped topics' oldest records are gone, up to one step, and topics that have none."""
    row = db.execute("SELECT no FROM topic WHERE name IS NULL LIMIT 1").fetchone()
    if row is None:
        return 0
    topic_no = int(row[0])
    deleted = _delete_oldest(db, topic_no, before_ms=_FOR_EVER_MS, excess=0)
    if not deleted:
        db.execute("DELETE FROM partition WHERE id BETWEEN ? AND ?", _ids(topic_no))
        db.execute("DELETE FROM topic WHERE no = ?", (topic_no,))
    return deleted or 1


def shrink(db: sqlite3.Connection) -> int:
    """The file is some pages smaller, unless few enough of its pages are free."""
    free = file.number(db, "PRAGMA freelist_count")
    excess = free - file.number(db, "PRAGMA page_count") // _FREE_SHARE
    if excess <= 0:
        return 0
    pages = min(_STEP_PAGES, excess)
    db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
    return pages


def _delete_oldest(db: sqlite3.Connection, topic_no: int, *, before_ms: int, excess: int) -> int:
    """Deletes from the front of every partition what was appended before, or is too much.

    Merged by time, so that at each moment the oldest front goes; a partition loses a prefix even
    when the clock ran backwards in it.
    """
    passed: dict[int, tuple[int, int, int]] = {}  # partition: past its last, records, bytes
    step = 0
    for appended_ms, row_id, size in _fronts(db, topic_no):
        if step >= _STEP_BYTES or (appended_ms >= before_ms and excess <= 0):
            break
        partition, offset = file.place(row_id)
        _, records, size_before = passed.get(partition, (0, 0, 0))
        passed[partition] = (offset + 1, records + 1, size_before + size)
        excess -= size
        step += size + _RECORD_BYTES
    for partition, (begin, _, size) in passed.items():
        first = file.rowid(topic_no, partition, 0)
        db.execute("DELETE FROM record WHERE id >= ? AND id < ?", (first, first + begin))
        db.execute(
            'UPDATE partition SET "begin" = ?, bytes = bytes - ? WHERE id = ?', (begin, size, first)
        )
    return sum(records for _, records, _ in passed.values())


def _fronts(db: sqlite3.Connection, topic_no: int) -> Iterator[Old]:
    """The records of all partitions from the oldest on, each partition's in offset order."""
    return heapq.merge(
        *(
            db.execute(
                "SELECT appended_ms, id, length(value) FROM record"
                " WHERE id >= ? AND id < ? ORDER BY id",
                (
                    file.rowid(topic_no, partition, bounds.begin),
                    file.rowid(topic_no, partition + 1, 0),
                ),
            )
            for partition, bounds in file.bounds(db, topic_no).items()
        ),
        key=lambda old: old[0],
    )


def _ids(topic_no: int) -> tuple[int, int]:
    return file.rowid(topic_no, 0, 0), file.rowid(topic_no, file.MAX_PARTITIONS - 1, 0)
