"""Aliases at an MLflow server that follow who has a route here, and what each stands for."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select, update

from streams.db import bulk
from streams.tables import mlflow_alias

_at = mlflow_alias.c


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """An alias that follows a route.

    Args:
        url: of the server; `name` is what the model is called there.
        versions: that came from there, by the labels that they have here and there.
        stands_for: the version that we set it to last; None: not yet.
    """

    model: str
    route: str
    url: str
    name: str
    alias: str
    versions: tuple[str, ...]
    stands_for: str | None


def follow(connection: Connection, alias: Alias) -> None:
    """The alias follows the route of the model, and the one that did before does not."""
    row = msgspec.structs.asdict(alias) | {"versions": _encoded(alias.versions)}
    bulk.upsert(
        connection, mlflow_alias, [row],
        update=["url", "name", "alias", "versions", "stands_for"],
    )  # fmt: skip


def every(connection: Connection) -> list[Alias]:
    """All that follow, by model and route."""
    names = Alias.__struct_fields__
    rows = connection.execute(select(*(_at[name] for name in names)).order_by(_at.model, _at.route))
    return [Alias(**{**row._mapping, "versions": _decoded(row.versions)}) for row in rows]


def stands_for(connection: Connection, alias: Alias, version: str) -> None:
    """The alias was set to this version, unless it follows in another way by now."""
    connection.execute(
        update(mlflow_alias)
        .where(
            _at.model == alias.model, _at.route == alias.route, _at.url == alias.url,
            _at.name == alias.name, _at.alias == alias.alias,
        )
        .values(stands_for=version)
    )  # fmt: skip


def _encoded(versions: Sequence[str]) -> str:
    return msgspec.json.encode(versions).decode()


def _decoded(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])
