"""Tables in partitions, one a day, on PostgreSQL: what is old is dropped, not deleted row by row.

A table whose key begins with `day` has a partition for each day that was made; one for day 0,
whose rows tell no day; and one for all other days, so that a row always has a place. SQLite keeps
each in one table, and nothing here does anything there.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, text

from streams.hashing import EPOCH_2020_DAYS

BY_DAY = "LIST (day)"
"""The `postgresql_partition_by` of a table that is kept in days."""

UNDATED, OTHER = "undated", "other"
_ORIGIN = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=EPOCH_2020_DAYS)
_PARTITION = re.compile(r"_(?:\d{8}|undated|other)$")
_LOCK = 0x5045_4E44_4159  # "PENDAY"
_PATIENCE = "500ms"
"""While a change of partitions waits for a lock, everybody else queues behind it."""


def _made(table: Table, connection: Connection, **_: Any) -> None:
    if connection.dialect.name == "postgresql":
        for statement in always(table.name):
            connection.execute(text(statement))


MADE_WITH = [("after_create", _made)]
"""The listeners of a table that is kept in days: making it makes the partitions it always has."""


def always(table: str) -> list[str]:
    """The statements that make what every table in days has."""
    return [
        f"CREATE TABLE {table}_{UNDATED} PARTITION OF {table} FOR VALUES IN (0)",
        f"CREATE TABLE {table}_{OTHER} PARTITION OF {table} DEFAULT",
    ]


def name_of(table: str, day: int) -> str:
    """`answer_20260131`."""
    return f"{table}_{_ORIGIN + timedelta(days=day):%Y%m%d}"


def is_partition(name: str, tables: Iterable[str]) -> bool:
    """Whether a table's name is that of a partition of one of these."""
    match = _PARTITION.search(name)
    return match is not None and name[: match.start()] in set(tables)


def existing(connection: Connection, table: Table) -> set[int]:
    """The days that have a partition of their own."""
    if connection.dialect.name != "postgresql":
        return set()
    names = connection.execute(text(_NAMES), {"table": table.name}).scalars()
    found = {day_of(name.removeprefix(f"{table.name}_")) for name in names}
    return {day for day in found if day > 0}


_NAMES = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = to_regclass(:table)
"""


def day_of(suffix: str) -> int:
    """The day that a partition's name ends with: 0 for rows that tell none, -1 for other days."""
    if suffix in (UNDATED, OTHER):
        return 0 if suffix == UNDATED else -1
    return (datetime.strptime(suffix, "%Y%m%d").replace(tzinfo=UTC) - _ORIGIN).days


def date_of(day: int) -> str:
    """`2026-01-31`."""
    return f"{_ORIGIN + timedelta(days=day):%Y-%m-%d}"


def make(connection: Connection, table: Table, days: Iterable[int]) -> None:
    """Each of these days has a partition; rows that came before it lie in it.

    Raises UnavailableError, by way of `writing`, when others use the tables for too long.
    """
    missing = sorted(set(days) - existing(connection, table))
    if not missing:
        return
    _alone(connection)
    name = table.name
    for day in sorted(set(missing) - existing(connection, table)):
        own, other = name_of(name, day), f"{name}_{OTHER}"
        # Attached and not made as a partition: that way nobody who reads the table has to wait.
        connection.exec_driver_sql(f"CREATE TABLE {own} (LIKE {name} INCLUDING STORAGE)")
        strays = f"SELECT FROM {other} WHERE day = {day} LIMIT 1"
        if connection.exec_driver_sql(strays).first() is not None:
            connection.exec_driver_sql(f"LOCK TABLE {other} IN ACCESS EXCLUSIVE MODE")
            connection.exec_driver_sql(
                f"WITH moved AS (DELETE FROM {other} WHERE day = {day} RETURNING *)"  # noqa: S608
                f" INSERT INTO {own} SELECT * FROM moved"
            )
        connection.exec_driver_sql(
            f"ALTER TABLE {name} ATTACH PARTITION {own} FOR VALUES IN ({day})"
        )


def drop(
    connection: Connection,
    tables: Iterable[Table],
    day: int,
    *,
    keeping: Callable[[Connection], None],
) -> None:
    """The day's partitions are gone with their rows.

    `keeping` runs when they are tables of their own already, named as before: what it inserts
    into the whole table again stays, among the other days.
    """
    _alone(connection)
    mine = [table for table in tables if day in existing(connection, table)]
    for table in mine:
        own = name_of(table.name, day)
        connection.exec_driver_sql(f"ALTER TABLE {table.name} DETACH PARTITION {own}")
    keeping(connection)
    for table in mine:
        connection.exec_driver_sql(f"DROP TABLE {name_of(table.name, day)}")


def _alone(connection: Connection) -> None:
    """Nobody else changes partitions until the transaction ends, and nobody waits for us long."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
