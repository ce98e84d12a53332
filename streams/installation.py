"""What belongs to this installation alone: its secret, its id, its domain clock's last tick, when
its ledger was last looked through, which history the database holds, and which heads it told.
"""

import os
import uuid

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from streams.errors import ConfigError
from streams.tables import installation

SECRET, ID, TICK, EXPIRY = "secret", "id", "tick", "expiry"  # names of rows
GENERATION, HEADS = "generation", "heads"


class Expiry(msgspec.Struct, frozen=True):
    """When the ledger was last looked through, and for requests from before when."""

    at_ms: int
    before_ms: int


class Generation(msgspec.Struct, frozen=True):
    """When a history began, and when it was last restored from a backup: seconds UTC, 0 if never.

    Clients outlive a database: that of the later history is right.
    """

    begun_s: int = 0
    restored_s: int = 0


def prepare(connection: Connection, *, now_ms: int) -> None:
    """The installation has a secret, an id and a generation; those it has stay."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    begun = msgspec.json.encode(Generation(begun_s=now_ms // 1000))
    fresh = {SECRET: os.urandom(32), ID: uuid.uuid4().hex.encode(), GENERATION: begun}
    for name, value in fresh.items():
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


def generation(connection: Connection) -> Generation:
    """Which history of this installation the database holds."""
    found = _kept(connection, GENERATION)
    return Generation() if found is None else msgspec.json.decode(found, type=Generation)


def begin_generation(connection: Connection, *, now_ms: int) -> None:
    """The database was restored from a backup: what is published from now on is newer than all
    that was before, also what was lost.
    """
    later_s = max(now_ms // 1000, generation(connection).begun_s + 1)
    _keep(connection, GENERATION, msgspec.json.encode(Generation(later_s, later_s)))


def last_expiry(connection: Connection) -> Expiry | None:
    """The last look through the ledger, or None before the first."""
    found = _kept(connection, EXPIRY)
    return None if found is None else msgspec.json.decode(found, type=Expiry)


def keep_expiry(connection: Connection, *, at_ms: int, before_ms: int) -> None:
    """The ledger was looked through at this wall time for requests from before that time."""
    _keep(connection, EXPIRY, msgspec.json.encode(Expiry(at_ms, before_ms)))


def last_heads(connection: Connection) -> int:
    """The last day (domain time, days since 1970) whose chain heads were published; 0: none."""
    found = _kept(connection, HEADS)
    return 0 if found is None else int(found)


def keep_heads(connection: Connection, day: int) -> None:
    """The chain heads of this day are published."""
    _keep(connection, HEADS, str(day).encode())


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
