"""Services that read route tables, and which one each decides by, as far as it said.

A service says what it holds when it asks for another table. Until it has said that it holds a
newer one, or its own has expired, it may give requests to whomever that one names.
"""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select

from rollout.tables import route_reader
from streams.db import bulk

_at = route_reader.c


class Reader(Struct, frozen=True, kw_only=True):
    """Who decides by the table of this number; `expires_ms` is the table's, wall clock."""

    model: str
    route: str
    reader: str
    generation: int
    version: int
    expires_ms: int


class Heard(Struct, frozen=True):
    """How many services there are, and how many decide by a table or a newer one."""

    readers: int
    confirmed: int


def tell(connection: Connection, said: Sequence[Reader]) -> None:
    """Each reader decides by what it says now."""
    rows = [
        {name: getattr(one, name) for name in Reader.__struct_fields__}
        for one in sorted(said, key=lambda one: (one.model, one.route, one.reader))
    ]
    bulk.upsert(connection, route_reader, rows, update=("generation", "version", "expires_ms"))


def heard(
    connection: Connection, model: str, route: str, rank: tuple[int, int], *, now_ms: int
) -> Heard:
    """How far the table of this rank (generation, version) has come. `now_ms` is wall time."""
    rows = connection.execute(
        select(func.count(), func.count().filter(_at_least(rank))).where(
            _at.model == model, _at.route == route, _at.expires_ms > now_ms
        )
    )
    readers, confirmed = rows.one()
    return Heard(readers, confirmed)


def forget(connection: Connection, *, now_ms: int) -> None:
    """Whoever has said nothing since its table expired is on its own champion."""
    connection.execute(delete(route_reader).where(_at.expires_ms <= now_ms))


def _at_least(rank: tuple[int, int]) -> ColumnElement[bool]:
    generation, version = rank
    return or_(
        _at.generation > generation,
        and_(_at.generation == generation, _at.version >= version),
    )
