"""Sticky units as rows: what is known of them, who is compared, and what of it is counted."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, and_, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rollout.counted import Side
from rollout.partials import ANYBODY, PAIRED, Bad, Row
from rollout.tables import unit_bad, unit_cursor, unit_enrolled, unit_paired, unit_partial
from rollout.unit_values import Unit
from streams.db import bulk
from streams.errors import ConflictError

Ints = npt.NDArray[np.int64]

AT_ONCE = 2_000  # rows of one transaction, as long as buckets are no larger

_ENROLLED = {Side.ARMS: unit_enrolled, Side.PAIRS: unit_paired}

_part, _unit, _bad, _cursor = unit_partial.c, unit_enrolled.c, unit_bad.c, unit_cursor.c


class Seen(msgspec.Struct, frozen=True):
    """A unit in the bucket where it was first seen."""

    unit: Unit
    first_ms: int


def save(connection: Connection, rows: Sequence[Row], bad: Iterable[Bad]) -> None:
    """What a batch says of units is there."""
    bulk.insert(connection, unit_partial, rows)
    wanted = [{**each._asdict(), "counted": 0} for each in sorted(set(bad))]
    if wanted:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(unit_bad).on_conflict_do_nothing(), wanted)


def cursors(connection: Connection, epoch: int) -> dict[str, int]:
    """Up to where each kind of counting has come."""
    rows = connection.execute(select(_cursor.what, _cursor.next_ms).where(_cursor.epoch == epoch))
    return {row.what: row.next_ms for row in rows}


def ended(connection: Connection, what: str) -> set[int]:
    """The epochs that have this cursor."""
    return set(connection.execute(select(_cursor.epoch).where(_cursor.what == what)).scalars())


def advance(
    connection: Connection, epoch: int, what: str, before_ms: int | None, next_ms: int
) -> None:
    """The cursor moves on, in the transaction of what was counted.

    Raises ConflictError when another process moved it since it was read: it has counted that.
    """
    if before_ms is None:
        row = {"epoch": epoch, "what": what, "next_ms": next_ms}
        moved = bulk.added(connection, unit_cursor, row)
    else:
        here = (_cursor.epoch == epoch) & (_cursor.what == what) & (_cursor.next_ms == before_ms)
        done = connection.execute(update(unit_cursor).where(here).values(next_ms=next_ms))
        moved = done.rowcount == 1
    if not moved:
        raise ConflictError(f"another process closes epoch {epoch}", fix="it is done already")


def first_seen(
    connection: Connection, epoch: int, side: Side, from_ms: int, to_ms: int
) -> list[Seen]:
    """The units that were first seen in these buckets, and are not enrolled yet."""
    table = _ENROLLED[side]
    unit = table.c
    known = and_(unit.epoch == _part.epoch, unit.unit8 == _part.unit8)
    rows = connection.execute(
        select(_part.unit8, _part.bucket_ms, _part.arm, _part.slices, _part.first_ms)
        .outerjoin_from(unit_partial, table, known)
        .where(
            _part.epoch == epoch, _part.bucket_ms >= from_ms, _part.bucket_ms < to_ms,
            _part.arm == PAIRED if side is Side.PAIRS else _part.arm >= 0,
            _part.first_ms.is_not(None), unit.unit8.is_(None),
        )
        .order_by(_part.first_ms, _part.slices)
    )  # fmt: skip
    found: dict[int, Seen] = {}
    for unit8, bucket_ms, arm, slices, first_ms in rows:
        found.setdefault(unit8, Seen(Unit(unit8, bucket_ms, arm, slices), first_ms))
    return list(found.values())


def enrol(connection: Connection, epoch: int, side: Side, found: Iterable[Unit]) -> None:
    rows = [{"epoch": epoch, **unit._asdict()} for unit in found]
    if rows:
        connection.execute(insert(_ENROLLED[side]), rows)


def enrolled(
    connection: Connection, epoch: int, side: Side, from_ms: int, to_ms: int
) -> list[Unit]:
    """The units that were enrolled in these buckets."""
    unit = _ENROLLED[side].c
    rows = connection.execute(
        select(unit.unit8, unit.bucket_ms, unit.arm, unit.slices).where(
            unit.epoch == epoch, unit.bucket_ms >= from_ms, unit.bucket_ms < to_ms
        )
    )
    return [Unit(*row) for row in rows]


def sums(
    connection: Connection, epoch: int, side: Side, units: Sequence[Unit], width: int,
    enrolled_ms: tuple[int, int], span_ms: tuple[int, int],
) -> Ints:  # fmt: skip
    """What the events of each unit add up to, shape (units, width).

    Args:
        units: those that were enrolled in `enrolled_ms`.
        span_ms: the events that count: of these buckets, from each unit's enrolment on.
    """
    table = _ENROLLED[side]
    unit = table.c
    arms = [PAIRED] if side is Side.PAIRS else [unit.arm, ANYBODY]
    own = and_(
        _part.epoch == unit.epoch, _part.unit8 == unit.unit8, _part.arm.in_(arms),
        _part.bucket_ms >= unit.bucket_ms + span_ms[0],
        _part.bucket_ms < unit.bucket_ms + span_ms[1],
    )  # fmt: skip
    rows = connection.execute(
        select(unit.unit8, _part.cells)
        .join_from(table, unit_partial, own)
        .where(
            unit.epoch == epoch, unit.bucket_ms >= enrolled_ms[0],
            unit.bucket_ms < enrolled_ms[1],
        )
    ).all()  # fmt: skip
    at = {unit.unit8: k for k, unit in enumerate(units)}
    found = np.zeros((len(units), width), np.int64)
    if rows:
        cells = np.frombuffer(b"".join(row.cells for row in rows), "<i8").reshape(-1, width)
        np.add.at(found, np.array([at[row.unit8] for row in rows]), cells)
    return found


def up_to(
    connection: Connection, epoch: int, from_ms: int, to_ms: int, *, enrolled: Side | None = None
) -> int:
    """Where to stop, at the end of a bucket, so that one transaction stays short.

    Args:
        enrolled: units of this side are counted; None: rows of events.
    """
    at = _part if enrolled is None else _ENROLLED[enrolled].c
    here = (at.epoch == epoch) & (at.bucket_ms >= from_ms) & (at.bucket_ms < to_ms)
    beyond = connection.execute(
        select(at.bucket_ms).where(here).order_by(at.bucket_ms).offset(AT_ONCE).limit(1)
    ).scalar()
    if beyond is None:
        return to_ms
    least = connection.execute(select(func.min(at.bucket_ms)).where(here)).scalar_one()
    if least < beyond:
        return int(beyond)
    after = select(func.min(at.bucket_ms)).where(here, at.bucket_ms > beyond)
    following = connection.execute(after).scalar()
    return to_ms if following is None else int(following)


def bad(connection: Connection, epoch: int) -> list[tuple[int, int, int]]:
    """(metric, unit, arm) of enrolled units that had a bad event, and are not counted yet."""
    known = and_(_unit.epoch == _bad.epoch, _unit.unit8 == _bad.unit8)
    rows = connection.execute(
        select(_bad.metric, _bad.unit8, _unit.arm)
        .join_from(unit_bad, unit_enrolled, known)
        .where(_bad.epoch == epoch, _bad.counted == 0)
        .order_by(_bad.metric, _bad.unit8)
        .limit(AT_ONCE)
    )
    return [(row.metric, row.unit8, row.arm) for row in rows]


def count_bad(connection: Connection, epoch: int, metric: int, units: Sequence[int]) -> None:
    """These are counted. Raises ConflictError when another process has counted one of them."""
    here = (_bad.epoch == epoch) & (_bad.metric == metric) & (_bad.unit8.in_(units))
    done = connection.execute(update(unit_bad).where(here, _bad.counted == 0).values(counted=1))
    if done.rowcount != len(units):
        raise ConflictError(f"another process closes epoch {epoch}", fix="it is done already")


def forget(connection: Connection, epoch: int, before_ms: int) -> None:
    """Events of earlier buckets are counted, and are gone."""
    connection.execute(
        delete(unit_partial).where(_part.epoch == epoch, _part.bucket_ms < before_ms)
    )


def forget_units(connection: Connection, epoch: int) -> bool:
    """Some units of an epoch that is over are gone; whether there were any."""
    for table in (unit_partial, unit_enrolled, unit_paired, unit_bad):
        mine = table.c.epoch == epoch
        some = select(table.c.unit8).where(mine).limit(AT_ONCE)
        done = connection.execute(delete(table).where(mine, table.c.unit8.in_(some)))
        if done.rowcount:
            return True
    return False
