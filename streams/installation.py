"""What belongs to this installation alone: its secret, its id, its domain clock's last tick, when
its ledger was last looked through for what is past, and when it was last restored from a backup.
"""

import os
import uuid

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from streams.errors import ConfigError
from streams.tables import installation

SECRET, ID, TICK, EXPIRY = "secret", "id", "tick", "expiry"  # names of rows
GENERATION = "generation"


class Expiry(msgspec.Struct, frozen=True):
    """When the ledger was last looked through, and for requests from before when."""

    at_ms: int
    before_ms: int


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
    found = _kept(connection, name)
    if found is None:
        raise ConfigError(f"this database has no {name} yet", fix="run: penstock db upgrade")
    return found


def last_tick(connection: Connection) -> int | None:
    """The domain time at which this installation last stood, if it keeps one."""
    found = _kept(connection, TICK)
    return None if found is None else int(found)


def keep_tick(connection: Connection, domain_ms: int) -> None:
    """The domain clock goes on from here after a restart."""
    _keep(connection, TICK, str(domain_ms).encode())


def generation(connection: Connection) -> int:
    """When this database was last restored from a backup, in seconds UTC; 0 if it never was."""
    return int(_kept(connection, GENERATION) or 0)


def begin_generation(connection: Connection, *, now_ms: int) -> None:
    """What is published from now on is newer than all that was before, also what was lost."""
    later = max(now_ms // 1000, generation(connection) + 1)
    _keep(connection, GENERATION, str(later).encode())


def last_expiry(connection: Connection) -> Expiry | None:
    """The last look through the ledger, or None before the first."""
    found = _kept(connection, EXPIRY)
    return None if found is None else msgspec.json.decode(found, type=Expiry)


def keep_expiry(connection: Connection, *, at_ms: int, before_ms: int) -> None:
    """The ledger was looked through at this wall time for requests from before that time."""
    _keep(connection, EXPIRY, msgspec.json.encode(Expiry(at_ms, before_ms)))


def _kept(connection: Connection, name: str) -> bytes | None:
    row = connection.execute(
        select(installation.c.value).where(installation.c.name == name)
    ).first()
    return None if row is None else bytes(row.value)


def _keep(connection: Connection, name: str, value: bytes) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(installation).values(name=name, value=value)
    statement = statement.on_conflict_do_update(
        index_elements=["name"], set_={"value": statement.excluded.value}
    )
    connection.execute(statement)
