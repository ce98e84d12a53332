"""Where each consumer stands, in the same transaction as its results.

`next` moves by compare-and-swap under the owner's fence, so that a worker that lost a partition
and does not know it yet can commit nothing. Kafka's own commits are advisory.
"""

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from streams.db import postgres
from streams.errors import ConfigError, ConflictError
from streams.logs.base import TopicState
from streams.tables import gap as gap_table
from streams.tables import position as position_table

_at = position_table.c
NO_WATERMARK = -(2**62)


class Position(msgspec.Struct):
    """A claimed partition: the next offset to count, the fence it is held under, its watermark."""

    partition: int
    next: int
    fence: int
    watermark_ms: int


class Moved(msgspec.Struct, frozen=True):
    """One partition's step: `next` from `old` to `new`, and the watermark after it."""

    partition: int
    fence: int
    old: int
    new: int
    watermark_ms: int
    events: int = 0  # counted on the way
    rejected: int = 0  # dead letters on the way


class LostError(ConflictError):
    """Another worker owns these partitions now."""

    def __init__(self, partitions: frozenset[int]) -> None:
        super().__init__(
            f"partitions {sorted(partitions)} are owned by another worker",
            fix="claim again if the log still assigns them",
        )
        self.partitions = partitions


def claim(
    connection: Connection,
    *,
    consumer: str,
    topic: TopicState,
    partitions: Iterable[int],
    owner: str,
    now_ms: int,
) -> dict[int, Position]:
    """The partitions belong to `owner` under a new fence; returns where each goes on.

    Raises ConfigError when a position was stored under another topic id: the topic was deleted
    and made again, so its offsets mean other records.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    claimed: dict[int, Position] = {}
    for partition in sorted(partitions):
        unclaimed = {
            "consumer": consumer, "topic": topic.name, "partition": partition,
            "topic_id": topic.topic_id, "next": 0, "fence": 0, "owner": owner,
            "watermark_ms": NO_WATERMARK, "updated_ms": now_ms,
        }  # fmt: skip
        connection.execute(
            dialect.insert(position_table).values(unclaimed).on_conflict_do_nothing()
        )
        here = (_at.consumer == consumer) & (_at.topic == topic.name) & (_at.partition == partition)
        row = connection.execute(
            update(position_table)
            .where(here)
            .values(fence=_at.fence + 1, owner=owner, updated_ms=now_ms)
            .returning(_at.next, _at.fence, _at.watermark_ms, _at.topic_id)
        ).one()
        if row.topic_id != topic.topic_id:
            raise ConfigError(
                f"topic {topic.name!r} was deleted and made again: the stored positions of"
                f" {consumer!r} belong to records that are gone",
                fix="restore the log that belongs to this database, or start with a new one",
            )
        claimed[partition] = Position(partition, row.next, row.fence, row.watermark_ms)
    return claimed


def advance(
    connection: Connection, *, consumer: str, topic: str, moved: Iterable[Moved], now_ms: int
) -> None:
    """Every step is stored. Raises LostError, naming the partitions, when one is not ours."""
    steps = list(moved)
    if not steps:
        return
    places = [
        (s.partition, s.old, s.fence, s.new, s.watermark_ms, s.events, s.rejected) for s in steps
    ]
    if connection.dialect.name == "postgresql":
        columns = [list(column) for column in zip(*places, strict=True)]
        given = (now_ms, *columns, consumer, topic)
        stored = postgres.execute(connection, _ADVANCE_ON_POSTGRESQL, given)
    else:
        rows = [(*place[3:], now_ms, consumer, topic, *place[:3]) for place in places]
        stored = connection.exec_driver_sql(_ADVANCE_ON_SQLITE, rows).rowcount
    if stored != len(steps):
        raise LostError(_lost(connection, consumer, topic, steps))


# One statement: of many the server would plan each anew (`streams.db.postgres`).
_ADVANCE_ON_POSTGRESQL = (
    "UPDATE position p SET next = k.new, watermark_ms = k.watermark_ms, updated_ms = %s,"
    " events = p.events + k.events, rejected = p.rejected + k.rejected"
    " FROM unnest(%b::smallint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],"
    " %b::bigint[], %b::bigint[])"
    " AS k(partition, old, fence, new, watermark_ms, events, rejected)"
    " WHERE p.consumer = %s AND p.topic = %s AND p.partition = k.partition"
    " AND p.next = k.old AND p.fence = k.fence"
)
_ADVANCE_ON_SQLITE = (
    "UPDATE position SET next = ?, watermark_ms = ?, events = events + ?, rejected = rejected + ?,"
    " updated_ms = ? WHERE consumer = ? AND topic = ? AND partition = ? AND next = ? AND fence = ?"
)


def _lost(connection: Connection, consumer: str, topic: str, steps: list[Moved]) -> frozenset[int]:
    """Which of these steps were refused: the others stand where they went in this transaction."""
    now = standing(connection, consumer=consumer, topic=topic)
    stands = {partition: (position.next, position.fence) for partition, position in now.items()}
    return frozenset(s.partition for s in steps if stands.get(s.partition) != (s.new, s.fence))


def jump(
    connection: Connection, *, consumer: str, topic: str, position: Position, to: int, now_ms: int
) -> Position:
    """Retention took records that were never counted: the gap is recorded and stepped over."""
    connection.execute(
        insert(gap_table).values(
            consumer=consumer, topic=topic, partition=position.partition,
            from_offset=position.next, to_offset=to, at_ms=now_ms,
        )
    )  # fmt: skip
    step = Moved(position.partition, position.fence, position.next, to, position.watermark_ms)
    advance(connection, consumer=consumer, topic=topic, moved=[step], now_ms=now_ms)
    return Position(position.partition, to, position.fence, position.watermark_ms)


def standing(connection: Connection, *, consumer: str, topic: str) -> dict[int, Position]:
    """Where every partition stands, for lag and health; takes no ownership."""
    rows = connection.execute(
        select(_at.partition, _at.next, _at.fence, _at.watermark_ms).where(
            _at.consumer == consumer, _at.topic == topic
        )
    )
    return {row.partition: Position(*row) for row in rows}


def counted(connection: Connection, *, consumer: str, topic: str) -> tuple[int, int]:
    """(events counted, dead letters) of this consumer since the database was made."""
    sums = select(func.coalesce(func.sum(_at.events), 0), func.coalesce(func.sum(_at.rejected), 0))
    row = connection.execute(sums.where(_at.consumer == consumer, _at.topic == topic)).one()
    return int(row[0]), int(row[1])


def behind(ends: Mapping[int, int], standing: Mapping[int, Position]) -> dict[int, int]:
    """Records each partition holds that its consumer has not counted."""
    return {
        partition: end - (standing[partition].next if partition in standing else 0)
        for partition, end in ends.items()
    }
