"""Route tables as they were published: append-only, but for how long the newest of each is valid.

A table is valid for `VALID_MS` and is renewed while Penstock watches it: that of a rollout by
whoever judges it. When nobody does, it expires, and its route is back on the champion that the
service names.
"""

from sqlalchemy import ColumnElement, Connection, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rollout.assignment import Place, RouteTable, decoded, encoded, first_version
from rollout.tables import rollout_live, route_table
from streams import installation
from streams.errors import ConflictError

VALID_MS = 3_600_000
RENEW_MS = VALID_MS // 4
"""A table is renewed when it is this old: clients read it anew each time."""

_STORED = (route_table.c.body, route_table.c.expires_ms)


def upcoming(connection: Connection, model: str, route: str) -> Place:
    """Under which number the next table of this route is to be published."""
    last = _one(connection, model, route, route_table.c.replaced_by.is_(None))
    generation = installation.generation(connection)
    version = first_version(generation.restored_s)
    if last is not None:
        version = max(version, last.version + 1)
    return Place(model, route, generation.begun_s, version)


def publish(connection: Connection, table: RouteTable) -> None:
    """`table` is the newest of its route once the transaction commits.

    Raises ConflictError when a table of its number, or a newer one, was published meanwhile.
    """
    is_route = (route_table.c.model == table.model) & (route_table.c.route == table.route)
    connection.execute(
        update(route_table)
        .where(
            is_route,
            route_table.c.replaced_by.is_(None),
            route_table.c.version < table.version,
            route_table.c.generation <= table.generation,
        )
        .values(replaced_by=table.version)
    )
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {
        "model": table.model,
        "route": table.route,
        "version": table.version,
        "generation": table.generation,
        "body": encoded(table),
        "expires_ms": table.expires_at,
    }
    insert = dialect.insert(route_table).values(row).on_conflict_do_nothing()
    if connection.execute(insert.returning(route_table.c.version)).first() is None:
        raise ConflictError(
            f"route {table.route!r} of {table.model!r} has version {table.version} already, or"
            " a newer one",
            fix="take the next number and decide again",
        )


def newest(connection: Connection) -> list[RouteTable]:
    """The newest table of every route, expired or not."""
    rows = connection.execute(
        select(*_STORED)
        .where(route_table.c.replaced_by.is_(None))
        .order_by(route_table.c.model, route_table.c.route)
    )
    return [decoded(body, expires_at=expires_ms) for body, expires_ms in rows]


def at_version(connection: Connection, model: str, route: str, version: int) -> RouteTable | None:
    """The table that events of this route version were assigned by."""
    return _one(connection, model, route, route_table.c.version == version)


def renew(connection: Connection, *, now_ms: int) -> int:
    """Every route that no rollout has is valid for most of VALID_MS from now, wall clock.

    How many were not.
    """
    has_rollout = exists().where(
        rollout_live.c.model == route_table.c.model, rollout_live.c.route == route_table.c.route
    )
    return _renew(connection, ~has_rollout, now_ms=now_ms)


def renew_watched(connection: Connection, model: str, route: str, *, now_ms: int) -> None:
    """The same of one route, by whoever watches the rollout that has it."""
    is_route = (route_table.c.model == model) & (route_table.c.route == route)
    _renew(connection, is_route, now_ms=now_ms)


def _renew(connection: Connection, which: ColumnElement[bool], *, now_ms: int) -> int:
    renewed = connection.execute(
        update(route_table)
        .where(
            which,
            route_table.c.replaced_by.is_(None),
            route_table.c.expires_ms <= now_ms + VALID_MS - RENEW_MS,
        )
        .values(expires_ms=now_ms + VALID_MS)
    )
    return renewed.rowcount


def _one(
    connection: Connection, model: str, route: str, which: ColumnElement[bool]
) -> RouteTable | None:
    row = connection.execute(
        select(*_STORED).where(route_table.c.model == model, route_table.c.route == route, which)
    ).first()
    return None if row is None else decoded(row.body, expires_at=row.expires_ms)
