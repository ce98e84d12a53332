"""How Penstock opens, locks and reads the errors of a SQLite file.

SQLite's own busy time-out backs off to 100 ms and starves the second writer; here a locked file
is tried again each millisecond instead, and for a bounded time.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from streams.errors import ConfigError, Error, UnavailableError

WAIT_S = 7.0
"""How long a locked file is waited for; PostgreSQL's lock_timeout is the same."""

_RETRY_S = 0.001
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_AWAY = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_NOT_OURS = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}

T = TypeVar("T")
Synchronous = Literal["NORMAL", "FULL"]


def prepare(connection: sqlite3.Connection, *, synchronous: Synchronous) -> None:
    """The connection is in WAL mode, begins transactions only when told and never waits inside
    SQLite; `secure_delete` is FAST because the packaged default rewrites every freed page.
    """
    connection.isolation_level = None
    settings = (
        "busy_timeout = 0",
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        "foreign_keys = ON",
        "trusted_schema = OFF",
        "secure_delete = FAST",
        f"journal_size_limit = {64 << 20}",
    )
    for setting in settings:
        execute(connection, f"PRAGMA {setting}")


def execute(connection: sqlite3.Connection, statement: str, *, wait_s: float = WAIT_S) -> None:
    """The statement is done; a first look at a file may find it locked like any other."""
    waiting(lambda: connection.execute(statement).fetchall(), wait_s=wait_s)


def begin_write(connection: sqlite3.Connection, *, wait_s: float = WAIT_S) -> None:
    """This connection holds the file's write lock; UnavailableError after `wait_s` without it."""
    execute(connection, "BEGIN IMMEDIATE", wait_s=wait_s)


def begin_read(connection: sqlite3.Connection, *, wait_s: float = WAIT_S) -> None:
    """This connection reads one snapshot until it commits or rolls back, and blocks no writer."""

    def begin() -> None:
        connection.execute("BEGIN")
        try:
            # BEGIN alone takes the snapshot only at the first read, where a lock would surface.
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        except sqlite3.Error:
            connection.rollback()
            raise

    waiting(begin, wait_s=wait_s)


def waiting(step: Callable[[], T], *, wait_s: float = WAIT_S) -> T:
    """What `step` returns once no other process is in its way."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if _primary(error) not in _LOCKED:
                raise
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"the database file stayed locked for {wait_s:g} s",
                    why="another process holds its write lock",
                    fix="look for a stopped or hanging penstock process and retry",
                ) from error
        time.sleep(_RETRY_S)


def ours(error: sqlite3.Error, place: str) -> Error | None:
    """The error that a caller may act on, or None when the statement itself was wrong."""
    code = _primary(error)
    if code in _NOT_OURS:
        return ConfigError(
            f"{place} is not a database or is damaged: {error}",
            fix="point the setting at the right file, or restore it from a backup",
        )
    if code in _AWAY | _LOCKED:
        return UnavailableError(
            f"{place}: {error}",
            why="the disk is full or away, or another process holds the file",
            fix="free space or bring the disk back; what was refused may be sent again",
        )
    return None


@contextmanager
def translated(place: str) -> Iterator[None]:
    """SQLite's errors about the file at `place` leave as ours."""
    try:
        yield
    except sqlite3.Error as error:
        mapped = ours(error, place)
        if mapped is None:
            raise
        raise mapped from error


def _primary(error: sqlite3.Error) -> int | None:
    """SQLite's result code without its details; None for errors of the driver itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF
