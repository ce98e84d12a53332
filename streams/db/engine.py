"""SQL engines for both databases, with the same meaning of reading, writing and waiting.

`writing` is one transaction that holds the right to write from its first statement on SQLite,
and READ COMMITTED on PostgreSQL; `reading` is one snapshot that never blocks a writer. Both
raise UnavailableError for a database that is away, busy or full and ConflictError for a
transaction that lost against another: then nothing was written, unless the connection broke
during the commit itself, which is why every write of ours can be repeated.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from streams.db import postgres, sqlite
from streams.errors import ConfigError, Error, UnavailableError

_URLS = "use sqlite:///<file> or postgresql://<user>@<host>/<database>"
_READING = "streams_reading"
_POOL_WAIT_S = 10.0


def connect(
    url: str,
    *,
    durable: bool = False,
    wait_s: float = sqlite.WAIT_S,
    connections: int = 10,
    name: str = "penstock",
) -> Engine:
    """An engine for `sqlite:///file` or `postgresql://...`; nothing is opened yet.

    Args:
        durable: on SQLite a commit is on disk when it returns (synchronous=FULL); without it a
            power cut may take the last commits, never the file. PostgreSQL is always durable.
        wait_s: how long a write waits for another's lock before it is an UnavailableError.
        connections: how many this process opens at most on PostgreSQL; who needs one more waits.
        name: how the process is called in PostgreSQL's list of sessions.

    Raises:
        ConfigError: the URL names no file, another database, or a driver that is missing.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError("the database URL cannot be read", why=str(error)) from error
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, durable=durable, wait_s=wait_s)
        case "postgresql" | "postgres":
            return _postgresql(parsed, wait_s=wait_s, connections=connections, name=name)
        case other:
            raise ConfigError(f"{other!r} is not a database of Penstock's", fix=_URLS)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that may write; committed at the end, rolled back by any exception."""
    with _translated(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One snapshot of the database; it cannot write and never makes a writer wait."""
    with _translated(), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        else:
            snapshot = {_READING: True}
        connection.execution_options(**snapshot)
        with connection.begin():
            yield connection


def _sqlite(url: URL, *, durable: bool, wait_s: float) -> Engine:
    if sqlite3.sqlite_version_info < (3, 38):
        raise ConfigError(f"SQLite {sqlite3.sqlite_version} is too old", fix="3.38 or newer")
    if url.database in (None, "", ":memory:"):
        raise ConfigError("the SQLite URL names no file", fix=_URLS)
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def prepare(driver: sqlite3.Connection, _record: object) -> None:
        sqlite.prepare(driver, synchronous="FULL" if durable else "NORMAL")
        driver.execute("PRAGMA cache_size = -65536")
        # Hot pages are written to the file once a checkpoint: with the default 1,000 pages intake
        # spent a quarter of its time on it. 32 MB are copied after the commit, without the lock.
        driver.execute("PRAGMA wal_autocheckpoint = 8000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        if connection.get_execution_options().get(_READING):
            sqlite.begin_read(driver, wait_s=wait_s)
            driver.execute("PRAGMA query_only = ON")
        else:
            sqlite.begin_write(driver, wait_s=wait_s)

    @event.listens_for(engine, "checkin")
    def writable_again(driver: sqlite3.Connection | None, _record: object) -> None:
        if driver is not None:
            driver.execute("PRAGMA query_only = OFF")

    return engine


def _postgresql(url: URL, *, wait_s: float, connections: int, name: str) -> Engine:
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=postgres.arguments(url.query, wait_s=wait_s, name=name),
            pool_pre_ping=True,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=_POOL_WAIT_S,
        )
    except ModuleNotFoundError as error:
        raise ConfigError(
            "PostgreSQL's driver is not installed", fix="pip install 'penstock[postgres]'"
        ) from error
    event.listen(engine, "connect", postgres.prepare)
    return engine


@contextmanager
def _translated() -> Iterator[None]:
    """Errors that a caller may act on leave as ours, from SQLAlchemy or from the driver itself."""
    try:
        yield
    except PoolTimeoutError as error:
        raise UnavailableError(
            "every database connection of this process is in use", why=str(error)
        ) from error
    except Error:
        raise
    except Exception as error:  # of any driver; raised again where it is none
        mapped = _ours(error.orig if isinstance(error, DBAPIError) else error)
        if mapped is None:
            raise
        raise mapped from error


def _ours(error: BaseException | None) -> Error | None:
    """The error that a caller may act on, or None when the statement itself was wrong."""
    if isinstance(error, sqlite3.Error):
        return sqlite.ours(error, "the database")
    return None if error is None else postgres.ours(error)
