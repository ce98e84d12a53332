"""What a database says of itself: its kind, its size and who uses it."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, Table, text

from streams.db import days

_SESSIONS = """
SELECT application_name, count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend'
 GROUP BY 1 ORDER BY 1
"""
_PARTITIONS = """
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes,
       greatest(c.reltuples, 0)::bigint AS row_count
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = to_regclass(:table)
"""


class State(msgspec.Struct, frozen=True):
    """A database as it stands; who is in it is known of a server only."""

    kind: str
    version: str
    bytes: int
    sessions: dict[str, int]  # by what the processes call themselves
    max_sessions: int | None


class Day(msgspec.Struct, frozen=True):
    """One day of the ledger: its partitions' size, and rows as the server last estimated them.

    Day 0 holds what tells no day; -1 all days that have no partitions.
    """

    day: int
    partitions: tuple[str, ...]
    bytes: int
    row_count: int


def state(connection: Connection) -> State:
    """The database of this connection now."""
    if connection.dialect.name == "sqlite":
        version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
        size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        return State("sqlite", version, connection.execute(text(size)).scalar_one(), {}, None)
    version, size, limit = connection.execute(
        text(
            "SELECT current_setting('server_version'), pg_database_size(current_database()),"
            " current_setting('max_connections')::int"
        )
    ).one()
    sessions = {name or "other": count for name, count in connection.execute(text(_SESSIONS))}
    return State("postgresql", version, size, sessions, limit)


def ledger_days(connection: Connection, tables: Iterable[Table]) -> list[Day]:
    """What the partitions of these tables hold, oldest day first; empty on SQLite."""
    if connection.dialect.name == "sqlite":
        return []
    found: dict[int, list[tuple[str, int, int]]] = {}
    for table in tables:
        for name, size, rows in connection.execute(text(_PARTITIONS), {"table": table.name}):
            day = days.day_of(name.removeprefix(f"{table.name}_"))
            found.setdefault(day, []).append((name, size, rows))
    return [
        Day(day, tuple(p[0] for p in parts), sum(p[1] for p in parts), sum(p[2] for p in parts))
        for day, parts in sorted(found.items())
    ]
