"""Leases: at most one holder of a name, and a fence that outlives every mistake of a clock.

A holder renews its lease well before `until_ms`; one that stops is replaced after it. Clocks may
disagree, so time alone protects nothing: each grant carries a fence, one more than the grant
before, and a holder calls `check` in the transaction of everything it writes.
"""

import msgspec
from sqlalchemy import BigInteger, CheckConstraint, Column, Connection, String, Table, text

from streams.db.metadata import metadata
from streams.errors import ConflictError

lease = Table(
    "lease",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("owner", String(120)),  # NULL once released
    Column("fence", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    CheckConstraint("fence >= 1", name="fence"),
)

_ACQUIRE = text("""
INSERT INTO lease (name, owner, fence, until_ms) VALUES (:name, :owner, 1, :until_ms)
ON CONFLICT (name) DO UPDATE
   SET owner = excluded.owner, fence = lease.fence + 1, until_ms = excluded.until_ms
 WHERE lease.owner IS NULL OR lease.owner = excluded.owner OR lease.until_ms <= :now_ms
RETURNING fence
""")
_RENEW = text("""
UPDATE lease SET until_ms = :until_ms WHERE name = :name AND owner = :owner AND fence = :fence
""")
_RELEASE = text("""
UPDATE lease SET owner = NULL WHERE name = :name AND owner = :owner AND fence = :fence
""")
_HOLDER = text("""
SELECT name, owner, fence, until_ms FROM lease WHERE name = :name AND owner IS NOT NULL
""")
_CHECK = """
SELECT 1 FROM lease WHERE name = :name AND owner = :owner AND fence = :fence
"""


class Lease(msgspec.Struct, frozen=True):
    """One grant, in wall time."""

    name: str
    owner: str
    fence: int
    until_ms: int


def acquire(
    connection: Connection, *, name: str, owner: str, now_ms: int, lease_ms: int
) -> Lease | None:
    """A new grant with the next fence, or None while another owner's lasts.

    An owner that asks again, after a restart say, takes over from its former self at once: the
    old grant's fence no longer passes.
    """
    until_ms = now_ms + lease_ms
    fence = connection.execute(
        _ACQUIRE, {"name": name, "owner": owner, "now_ms": now_ms, "until_ms": until_ms}
    ).scalar_one_or_none()
    return None if fence is None else Lease(name, owner, fence, until_ms)


def renew(connection: Connection, held: Lease, *, now_ms: int, lease_ms: int) -> Lease:
    """The same grant, lasting longer; ConflictError when it was released or taken over."""
    renewed = msgspec.structs.replace(held, until_ms=now_ms + lease_ms)
    if not connection.execute(_RENEW, msgspec.structs.asdict(renewed)).rowcount:
        raise _lost(held)
    return renewed


def release(connection: Connection, held: Lease) -> None:
    """Anyone may take the lease now; nothing happens when it was taken over before."""
    connection.execute(_RELEASE, msgspec.structs.asdict(held))


def holder(connection: Connection, name: str) -> Lease | None:
    """The last grant that was not released, whether it lasts or has run out."""
    row = connection.execute(_HOLDER, {"name": name}).first()
    return None if row is None else Lease(*row)


def check(connection: Connection, held: Lease) -> None:
    """The grant stands, and nobody takes it over before this transaction ends.

    Raises ConflictError otherwise: the holder's work is void and it must stop.
    """
    # SQLite has one writer at a time; PostgreSQL must be told to keep the row as it is.
    share = " FOR SHARE" if connection.dialect.name == "postgresql" else ""
    standing = connection.execute(text(_CHECK + share), msgspec.structs.asdict(held))
    if standing.scalar_one_or_none() is None:
        raise _lost(held)


def _lost(held: Lease) -> ConflictError:
    return ConflictError(
        f"{held.owner} no longer holds the lease {held.name!r} (fence {held.fence})",
        why="it was released, or it ran out and another took it",
        fix="drop what was planned under it and acquire it again",
    )
