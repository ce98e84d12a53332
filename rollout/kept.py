"""Looks as rows: the newest of each rollout, and what stood there when a decision was made."""

from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, literal, select, update

from rollout.decisions import Decision, Evidence
from rollout.judge import Record
from rollout.tables import rollout_look
from streams.db import bulk
from streams.errors import ConflictError

NEWEST = 0

_at = rollout_look.c


class Kept(Struct, frozen=True, kw_only=True):
    """A look and what came of it.

    Args:
        seq: the decision that saw it; NEWEST: it is the newest.
        at_ms: when it was first taken, domain time.
        digest: of the look (`rollout.looks.digest`); verdicts name it as their snapshot.
        fresh_ms: when a challenger was last known to answer, domain time; None: never.
    """

    seq: int
    at_ms: int
    digest: str
    fresh_ms: int | None
    record: Record


def newest(connection: Connection, rollout: str) -> Kept | None:
    """The newest look at a rollout; None before the first."""
    found = _read(connection, rollout, _at.seq == NEWEST)
    return found[0] if found else None


def cited(connection: Connection, rollout: str) -> list[Kept]:
    """What each decision saw, oldest first; decisions before the first look saw nothing."""
    return _read(connection, rollout, _at.seq > NEWEST)


def replace(connection: Connection, rollout: str, before: Kept | None, now: Kept) -> None:
    """`now` is the newest look, and `before` was.

    Raises ConflictError when it was not: evidence of harm that somebody else saw would be lost.
    """
    row = {
        "at_ms": now.at_ms, "digest": now.digest, "fresh_ms": now.fresh_ms,
        "body": msgspec.json.encode(now.record),
    }  # fmt: skip
    if before is None:
        added = bulk.added(connection, rollout_look, {"rollout": rollout, "seq": NEWEST, **row})
    else:
        is_before = (_at.rollout == rollout) & (_at.seq == NEWEST) & (_at.digest == before.digest)
        added = connection.execute(update(rollout_look).where(is_before).values(row)).rowcount > 0
    if not added:
        raise ConflictError(f"somebody else looked at rollout {rollout!r}", fix="look again")


def refresh(connection: Connection, rollout: str, now: Kept) -> None:
    """Nothing is new but that a challenger has answered."""
    is_newest = (_at.rollout == rollout) & (_at.seq == NEWEST) & (_at.digest == now.digest)
    connection.execute(update(rollout_look).where(is_newest).values(fresh_ms=now.fresh_ms))


def cite(connection: Connection, made: Decision) -> None:
    """The newest look stays, as what `made` saw.

    Raises ConflictError when evidence decided and another look is the newest by now.
    """
    snapshots = (
        {judged.snapshot for judged in made.cause.verdicts} - {""}
        if isinstance(made.cause, Evidence)
        else set()
    )
    columns = [column for column in _at if column.name != "seq"]
    source = select(*columns, literal(made.seq)).where(
        _at.rollout == made.rollout, _at.seq == NEWEST
    )
    if snapshots:
        source = source.where(_at.digest.in_(snapshots))
    names = [column.name for column in columns]
    copy = rollout_look.insert().from_select([*names, "seq"], source).returning(_at.seq)
    if connection.execute(copy).first() is None and snapshots:
        raise ConflictError(
            f"the evidence of rollout {made.rollout!r} has moved",
            fix=f"look again: penstock rollout get {made.rollout}",
        )


def _read(connection: Connection, rollout: str, which: ColumnElement[bool]) -> list[Kept]:
    rows = connection.execute(
        select(rollout_look).where(_at.rollout == rollout, which).order_by(_at.seq)
    )
    return [_kept(row._mapping) for row in rows]


def _kept(row: Any) -> Kept:
    return Kept(
        seq=row["seq"], at_ms=row["at_ms"], digest=row["digest"], fresh_ms=row["fresh_ms"],
        record=msgspec.json.decode(row["body"], type=Record),
    )  # fmt: skip
