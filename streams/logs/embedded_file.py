"""The file behind the embedded log: its tables, and how it is opened and looked into.

A record's rowid is `topic << 52 | partition << 40 | offset`, so a partition is a range of rowids
and reading it is one walk along a B-tree. A partition's bounds are kept apart from its records,
because they outlive them.
"""

import sqlite3
from pathlib import Path

from streams.db import sqlite
from streams.errors import ConfigError, InputError
from streams.logs.base import Bounds, TopicState

MAX_TOPICS = (1 << 11) - 1  # the last number would push the rowid past int64
MAX_PARTITIONS = 1 << 12
_PARTITION_BITS = 40
_TOPIC_BITS = 52
_OFFSETS = (1 << _PARTITION_BITS) - 1

_APPLICATION_ID = 0x504E_4C47  # "PNLG" in the file's header
_VERSION = 1
_SCHEMA = (
    """
CREATE TABLE topic (
    no INTEGER PRIMARY KEY,
    name TEXT UNIQUE, -- NULL from the drop of the topic until its last record is deleted
    topic_id TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    retention_ms INTEGER,
    retention_bytes INTEGER
) STRICT""",
    """
CREATE TABLE partition (
    id INTEGER PRIMARY KEY, -- the rowid of its offset 0
    "begin" INTEGER NOT NULL DEFAULT 0,
    "end" INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    CHECK (0 <= "begin" AND "begin" <= "end" AND bytes >= 0)
) STRICT""",
    """
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    appended_ms INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)


def open_file(path: Path) -> sqlite3.Connection:
    """A connection to the log in `path`, made if it is not there; commits on it are on disk.

    Raises:
        ConfigError: the folder is missing, or the file is not a log, damaged or of a newer release.
    """
    if not path.parent.is_dir():
        raise ConfigError(
            f"{path.parent} is not a folder", fix="make it, or point the log elsewhere"
        )
    db = sqlite3.connect(path, timeout=0, check_same_thread=False, isolation_level=None)
    try:
        with sqlite.translated(str(path)):
            is_new = sqlite.waiting(lambda: _is_new(db, path))
            if is_new:
                sqlite.execute(db, "PRAGMA auto_vacuum = INCREMENTAL")
            sqlite.prepare(db, synchronous="FULL")
            if is_new:
                _create(db, path)
    except BaseException:
        db.close()
        raise
    return db


def rowid(topic_no: int, partition: int, offset: int) -> int:
    return (topic_no << _TOPIC_BITS) + (partition << _PARTITION_BITS) + offset


def place(row_id: int) -> tuple[int, int]:
    """The partition and offset of a rowid."""
    return row_id >> _PARTITION_BITS & (MAX_PARTITIONS - 1), row_id & _OFFSETS


def topic(db: sqlite3.Connection, name: str) -> tuple[int, TopicState]:
    """The topic's number in this file and its state; InputError when there is none."""
    row = db.execute(
        "SELECT no, topic_id, partitions FROM topic WHERE name = ?", (name,)
    ).fetchone()
    if row is None:
        raise InputError(f"there is no topic {name!r}", field="topic", rule="exists")
    return row[0], TopicState(name=name, topic_id=row[1], partitions=row[2])


def bounds(db: sqlite3.Connection, topic_no: int) -> dict[int, Bounds]:
    rows = db.execute(
        'SELECT id, "begin", "end" FROM partition WHERE id BETWEEN ? AND ?',
        (rowid(topic_no, 0, 0), rowid(topic_no, MAX_PARTITIONS - 1, 0)),
    )
    return {place(row_id)[0]: Bounds(begin=begin, end=end) for row_id, begin, end in rows}


def no_partition(partition: int, state: TopicState) -> InputError:
    return InputError(
        f"topic {state.name!r} has partitions 0 to {state.partitions - 1}, not {partition}",
        field="partition",
        rule="range",
    )


def number(db: sqlite3.Connection, query: str) -> int:
    """The one integer that `query` answers."""
    return int(db.execute(query).fetchone()[0])


def _is_new(db: sqlite3.Connection, path: Path) -> bool:
    if number(db, "PRAGMA application_id") == _APPLICATION_ID:
        version = number(db, "PRAGMA user_version")
        if version > _VERSION:
            raise ConfigError(
                f"{path} is a log of format {version}, this release reads {_VERSION}",
                why="a newer release of Penstock has written it",
                fix="run that release or a newer one",
            )
        return False
    if number(db, "SELECT count(*) FROM sqlite_schema"):
        raise ConfigError(f"{path} is a database, but not a log", fix="point the log elsewhere")
    return True


def _create(db: sqlite3.Connection, path: Path) -> None:
    sqlite.begin_write(db)
    try:
        if _is_new(db, path):  # another process may have come first
            for statement in _SCHEMA:
                db.execute(statement)
        db.commit()
    except sqlite3.Error:
        db.rollback()
        raise
