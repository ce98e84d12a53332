"""The database's schema: what it is, and bringing it to what this release expects.

A migration is `versions/NNNN_name.py`; there is one line of them. All that are missing run in one
transaction on both databases, so that an upgrade that fails has changed nothing.

Every role asks where its database stands when it starts, so that is answered without Alembic.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, event, inspect, text

from rollout import tables as rollout_tables
from streams import tables
from streams.db import days, leases
from streams.db.engine import connect, reading, writing
from streams.errors import ConfigError

VERSION_TABLE = "penstock_schema"
DECLARED_IN = (tables, leases, rollout_tables)
"""The modules that put their tables on `streams.db.metadata.metadata`."""

_FOLDER = Path(__file__).parent
_ADVISORY_LOCK = 0x50_454E_5354_4F43  # "PENSTOC"
_PATIENCE_S = 600.0
"""How long one upgrade waits for another that is under way."""


class Status(msgspec.Struct, frozen=True):
    """Where a database stands: `pending` are the revisions between `current` and `head`."""

    current: str | None
    head: str | None
    pending: tuple[str, ...]


def status(url: str) -> Status:
    """What the database at `url` is and lacks; ConfigError when a newer release has made it."""
    engine = connect(url)
    try:
        with reading(engine) as connection:
            return _status(connection)
    finally:
        engine.dispose()


def upgrade(url: str) -> Status:
    """The database at `url` has this release's schema; safe to call from many processes at once.

    Raises:
        ConfigError: a newer release has made it. Nothing was changed.
        UnavailableError: the database is away, or was in use for too long. Nothing was changed.
    """
    from alembic import command

    engine = connect(url, durable=True, wait_s=_PATIENCE_S)
    try:
        with _alone(engine) as connection:
            if _status(connection).pending:
                command.upgrade(_config(connection), "head")
            return _status(connection)
    finally:
        engine.dispose()


def draft(url: str, *, number: str, name: str) -> None:
    """`versions/NNNN_name.py` holds what the declared tables have and the database lacks.

    It is a draft: what it renames or drops must be made to run beside the release before.
    """
    from alembic import command

    engine = connect(url)
    try:
        with writing(engine) as connection:
            command.revision(_config(connection), message=name, rev_id=number, autogenerate=True)
    finally:
        engine.dispose()


def is_declared(name: str | None, kind: str, _parents: object) -> bool:
    """Whether Alembic is to compare what has this name: partitions come and go by themselves."""
    ledger = {table.name for table in tables.LEDGER}
    return kind != "table" or name is None or not days.is_partition(name, ledger)


def revisions() -> list[str]:
    """Every migration of this release, the newest first."""
    files = sorted((_FOLDER / "versions").glob("[0-9]*_*.py"), reverse=True)
    return [file.name.partition("_")[0] for file in files]


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other upgrade runs beside, free of the limits of daily work."""
    if engine.dialect.name == "sqlite":
        # Batch mode rebuilds a table by dropping the old one, which would take its children along.
        @event.listens_for(engine, "connect")
        def keep_children(driver: SqliteConnection, _record: object) -> None:
            driver.execute("PRAGMA foreign_keys = OFF")

        with writing(engine) as connection:
            yield connection
            _require_parents(connection)
        return
    with writing(engine) as connection:
        for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {limit} = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        # Waiting long for a table's lock would hold up everyone who queues behind.
        connection.execute(text("SET LOCAL lock_timeout = '7s'"))
        yield connection


def _require_parents(connection: Connection) -> None:
    orphans = connection.execute(text("PRAGMA foreign_key_check")).fetchmany(3)
    if orphans:
        raise ConfigError(
            f"the upgrade would leave rows without their parents: {orphans}",
            fix="report this with the output of `penstock db status`; nothing was changed",
        )


def _status(connection: Connection) -> Status:
    newest_first = revisions()
    current = None
    if inspect(connection).has_table(VERSION_TABLE):
        stored = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
        current = stored.scalar_one_or_none()
    if current is not None and current not in newest_first:
        raise ConfigError(
            f"the database has schema {current}, this release knows up to {newest_first[:1]}",
            why="a newer release of Penstock has upgraded it",
            fix="run that release or a newer one, or restore the backup made before the upgrade",
        )
    done = newest_first.index(current) if current else len(newest_first)
    return Status(current, newest_first[0], tuple(reversed(newest_first[:done])))


def _config(connection: Connection) -> Any:
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config
