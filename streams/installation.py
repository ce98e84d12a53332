"""What belongs to this installation alone: its secret, its id, its domain clock's last tick."""

import os
import uuid

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from streams.errors import ConfigError
from streams.tables import installation

SECRET, ID, TICK = "secret", "id", "tick"  # names of rows


def prepare(connection: Connection) -> None:
    """The installation has a secret and an id; those it has stay."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for name, value in ((SECRET, os.urandom(32)), (ID, uuid.uuid4().hex.encode())):
        row = {"name": name, "value": value}
        connection.execute(dialect.insert(installation).values(row).on_conflict_do_nothing())


def secret(connection: Connection) -> bytes:
    """The key of every keyed hash. Raises ConfigError before `db upgrade` has made it."""
    return _value(connection, SECRET)


def installation_id(connection: Connection) -> str:
    """This installation's own id."""
    return _value(connection, ID).decode()


def _value(connection: Connection, name: str) -> bytes:
    row = connection.execute(
        select(installation.c.value).where(installation.c.name == name)
    ).first()
    if row is None:
        raise ConfigError(f"this database has no {name} yet", fix="run: penstock db upgrade")
    return bytes(row.value)


def last_tick(connection: Connection) -> int | None:
    """The domain time at which this installation last stood, if it keeps one."""
    row = connection.execute(
        select(installation.c.value).where(installation.c.name == TICK)
    ).first()
    return None if row is None else int(bytes(row.value))


def keep_tick(connection: Connection, domain_ms: int) -> None:
    """The domain clock goes on from here after a restart."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(installation).values(name=TICK, value=str(domain_ms).encode())
    statement = statement.on_conflict_do_update(
        index_elements=["name"], set_={"value": statement.excluded.value}
    )
    connection.execute(statement)
