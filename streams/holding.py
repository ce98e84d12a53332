"""The partitions that one consumer holds: claimed, read without a hole, moved under its fence."""

import logging
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Engine

from streams import positions
from streams.db.clock import Clock
from streams.db.engine import writing
from streams.errors import ConfigError
from streams.logs.base import GapError, Log, Record
from streams.positions import Moved, Position

_log = logging.getLogger(__name__)


class Holding:
    """A consumer's place in a topic.

    The reader says which partitions are ours to read; the store says where each goes on, and
    under which fence. What the log delivers is checked record by record: a hole is never passed.

    Records may be read on while those before them are on their way into the store. Claiming and
    jumping need every one of them to have arrived there.
    """

    def __init__(
        self, log: Log, engine: Engine, *, topic: str, consumer: str, owner: str, clock: Clock
    ) -> None:
        self.topic = log.state(topic)
        self.positions: dict[int, Position] = {}
        self.claims = 0  # partitions that became ours, since we began
        self.gaps = 0
        self.gap_records = 0  # that retention took before we read them
        self._log = log
        self._engine = engine
        self._consumer = consumer
        self._owner = owner
        self._clock = clock
        self._reader = log.reader(topic, group=consumer)
        self._assigned = frozenset[int]()
        self._gone = set[int]()  # taken from us since the last claim, perhaps given back
        self._due: dict[int, int] = {}  # the offset that each partition is read on at

    def changed(self) -> bool:
        """Whether partitions came or went, so that `claim` is due."""
        self._assigned = self._reader.assigned()
        self._gone |= self.positions.keys() - self._assigned
        return bool(self._gone or self._assigned - self.positions.keys())

    def poll(self, *, max_bytes: int, timeout_s: float) -> list[Record]:
        """Records that continue those before. Raises GapError where retention took the next."""
        return self._contiguous(self._reader.poll(max_bytes=max_bytes, timeout_s=timeout_s))

    def read_again(self) -> None:
        """What was read and not counted is read again."""
        self._due = {partition: position.next for partition, position in self.positions.items()}

    def advance(self, connection: Connection, moved: Sequence[Moved]) -> None:
        """These steps are in the transaction. Raises LostError for partitions that are not ours."""
        positions.advance(
            connection, consumer=self._consumer, topic=self.topic.name, moved=moved,
            now_ms=self._clock.wall_ms(),
        )  # fmt: skip

    def stand(self, moved: Sequence[Moved]) -> None:
        """The transaction with these steps is committed: we stand there now."""
        for step in moved:
            position = self.positions[step.partition]
            position.next, position.watermark_ms = step.new, step.watermark_ms
        self._reader.counted({step.partition: step.new for step in moved if step.new > step.old})

    def lose(self, partitions: Iterable[int]) -> None:
        """These are another worker's, or to be read again: claimed anew if still assigned."""
        for partition in list(partitions):
            self.positions.pop(partition, None)

    def lose_all(self) -> None:
        self.lose(self.positions)

    def close(self) -> None:
        self._reader.close()

    def claim(self) -> None:
        """What came since is ours, under a new fence; what went is not ours any more."""
        self.lose(self._gone)
        self._gone.clear()
        fresh = self._assigned - self.positions.keys()
        if not fresh:
            return
        self.topic = self._log.state(self.topic.name)  # made again, it has an id that is refused
        with writing(self._engine) as connection:
            claimed = positions.claim(
                connection, consumer=self._consumer, topic=self.topic, partitions=fresh,
                owner=self._owner, now_ms=self._clock.wall_ms(),
            )  # fmt: skip
        bounds = self._log.bounds(self.topic.name)
        for partition, position in claimed.items():
            if position.next > bounds[partition].end:
                raise ConfigError(
                    f"{self.topic.name}/{partition} ends at {bounds[partition].end}, but"
                    f" {position.next} records of it are counted",
                    why="the log is older than the database",
                    fix="restore the log and the database from the same backup",
                )
            self._reader.seek(partition, position.next)
            self._due[partition] = position.next
        self.positions.update(claimed)
        self.claims += len(claimed)
        _log.info("reads partitions %s of %s", sorted(self.positions), self.topic.name)

    def jump(self, gap: GapError) -> None:
        """What retention took before we read it is recorded as a gap and stepped over."""
        if gap.partition not in self.positions:
            return
        _log.error("a gap: %s", gap)
        with writing(self._engine) as connection:
            self.positions[gap.partition] = positions.jump(
                connection, consumer=self._consumer, topic=self.topic.name,
                position=self.positions[gap.partition], to=gap.begin,
                now_ms=self._clock.wall_ms(),
            )  # fmt: skip
        self.gaps += 1
        self.gap_records += gap.begin - gap.wanted
        self._reader.counted({gap.partition: gap.begin})
        self._reader.seek(gap.partition, gap.begin)
        self._due[gap.partition] = gap.begin

    def _contiguous(self, records: list[Record]) -> list[Record]:
        """A record that was read already is dropped; before one that was skipped, we seek back."""
        kept = []
        astray: set[int] = set()
        for record in records:
            if record.partition not in self.positions or record.partition in astray:
                continue
            expected = self._due[record.partition]
            if record.offset < expected:
                continue
            if record.offset - record.skipped > expected:
                astray.add(record.partition)
                self._reader.seek(record.partition, expected)
                continue
            self._due[record.partition] = record.offset + 1
            kept.append(record)
        return kept
