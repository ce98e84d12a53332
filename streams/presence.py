"""Which processes there are: each keeps a row fresh while it plays its role.

A row says nothing about rights: who may count or act is a matter of fences and leases.
"""

import msgspec
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from streams.tables import position, process

_at = process.c


class Duty(msgspec.Struct, frozen=True):
    """One of control's duties, as the process that does it tells."""

    duty: str
    runs: int
    failures: int
    last_ms: int | None  # wall time at which it last ended well; None before
    fault: str  # why it failed the last time, or empty


class Told(msgspec.Struct, frozen=True):
    """What a process says of itself; of what its role does not have, nothing."""

    fault: str = ""  # why it cannot do its job now, or empty
    url: str = ""  # where web answers
    duties: list[Duty] = []
    ended: bool = False  # as it was asked to


class Process(msgspec.Struct, frozen=True):
    """A process, as of when it was last seen; times are the wall's."""

    name: str
    role: str
    host: str
    pid: int
    release: str
    started_ms: int
    seen_ms: int
    told: Told


def keep(connection: Connection, seen: Process) -> None:
    """The process is here; it takes the row of one of its name that was here before."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = msgspec.structs.asdict(seen) | {"told": msgspec.json.encode(seen.told)}
    statement = dialect.insert(process).values(row)
    new = {name: statement.excluded[name] for name in row if name != "name"}
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=new))


def leave(connection: Connection, name: str, *, pid: int) -> None:
    """The process has ended as it was asked to; one that took its name meanwhile has not."""
    ended = msgspec.json.encode(Told(ended=True))
    connection.execute(update(process).where(_at.name == name, _at.pid == pid).values(told=ended))


def listed(connection: Connection) -> list[Process]:
    """Every process that keeps a row, or did in the last minutes."""
    rows = connection.execute(select(process).order_by(_at.role, _at.name)).mappings()
    return [Process(**{**row, "told": msgspec.json.decode(row["told"], type=Told)}) for row in rows]


def forget(connection: Connection, *, before_ms: int) -> int:
    """Processes not seen since are gone; returns how many."""
    return connection.execute(delete(process).where(_at.seen_ms < before_ms)).rowcount


class Holder(msgspec.Struct, frozen=True):
    """Who claimed a partition last, and when a step of it was last stored."""

    partition: int
    owner: str
    updated_ms: int


def holders(connection: Connection, *, consumer: str, topic: str) -> list[Holder]:
    """The last owner of each partition that was ever claimed."""
    rows = connection.execute(
        select(position.c.partition, position.c.owner, position.c.updated_ms)
        .where(position.c.consumer == consumer, position.c.topic == topic)
        .order_by(position.c.partition)
    )
    return [Holder(*row) for row in rows]
