"""What every log offers, whether a SQLite file or a Kafka cluster.

A log holds topics; a topic holds a fixed number of partitions; a partition is an append-only
sequence of records whose offsets grow by one. `tests/contracts/test_logs.py` is the law that
every implementation passes.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from streams.errors import ConflictError


class GapError(ConflictError):
    """Retention has deleted the record that a reader stands on; `begin` is the first one left.

    The reader reads on once it has sought `begin` or later. What lies between is lost to it.
    """

    def __init__(self, topic: str, partition: int, *, wanted: int, begin: int) -> None:
        super().__init__(
            f"{topic}/{partition}: offset {wanted} is gone, the log begins at {begin}",
            why="retention deleted records that were not yet read",
            fix="note the gap and seek the beginning",
        )
        self.partition = partition
        self.wanted = wanted
        self.begin = begin


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as it stands in the log."""

    partition: int
    offset: int
    appended_ms: int  # the log's clock when it was taken
    value: bytes
    skipped: int = 0  # offsets before it that hold no record, such as marks of transactions


class TopicState(msgspec.Struct, frozen=True):
    """What a topic looks like now.

    `topic_id` is new each time a topic of this name is created: positions stored under another
    id belong to a topic that is gone.
    """

    name: str
    topic_id: str
    partitions: int


class Kept(msgspec.Struct, frozen=True):
    """How long a topic keeps its records, and what an append waits for; None: no limit, or none."""

    retention_ms: int | None = None
    retention_bytes: int | None = None
    min_insync: int | None = None  # copies on brokers


class Bounds(msgspec.Struct, frozen=True):
    """The offsets a partition still holds: `begin <= offset < end`."""

    begin: int
    end: int


class Reader(Protocol):
    """One consumer's place in a topic. Not shared between threads."""

    def assigned(self) -> frozenset[int]:
        """The partitions this reader may read now; a new one must be sought before it is read."""
        ...

    def seek(self, partition: int, offset: int) -> None:
        """The next record of `partition` that `poll` returns is the first at or past `offset`."""
        ...

    def poll(self, *, max_bytes: int, timeout_s: float) -> list[Record]:
        """Records of the sought partitions, each partition's in offset order and without a hole.

        Offsets that hold no record are `skipped` by the next one. At the end of a partition an
        envelope of nothing stands for the last of them, so that everything can be counted.

        Returns early with what is there, after `timeout_s` with nothing. Takes at least one
        record however large. Starved partitions come first: none waits for ever. Raises GapError,
        again at each poll until sought elsewhere, when a sought partition begins past its place;
        ConflictError when the topic was dropped.
        """
        ...

    def counted(self, next_offsets: Mapping[int, int]) -> None:
        """Every record before these offsets, by partition, is counted.

        Advisory: where the log has a place for it, tools that show lag see it soon. No reader's
        place depends on it, and it never raises, whatever becomes of it.
        """
        ...

    def close(self) -> None: ...


class Log(Protocol):
    """Durable topics. Appending and reading may go on in different processes."""

    def ensure(
        self,
        topic: str,
        partitions: int,
        *,
        retention_ms: int | None = None,
        retention_bytes: int | None = None,
    ) -> TopicState:
        """The topic exists with this number of partitions; another number is a ConflictError.

        A topic that is made keeps records for this long and this much, per topic.
        """
        ...

    def state(self, topic: str) -> TopicState:
        """Raises InputError when there is no such topic."""
        ...

    def append(self, topic: str, values: Sequence[tuple[int, bytes]]) -> list[int]:
        """Every (partition, value) is durable, in order, when this returns their offsets.

        Raises InputError for a partition out of range; then nothing was appended. Raises
        UnavailableError when the disk is full or a broker away; then a cluster may have taken some
        of the values, a file has taken none. Appending all of them again is safe: what they hold
        has keys of its own, and is counted once.
        """
        ...

    def bounds(self, topic: str) -> dict[int, Bounds]:
        """What each partition holds now."""
        ...

    def kept(self, topic: str) -> Kept:
        """How long the topic keeps its records."""
        ...

    def reader(self, topic: str, *, group: str | None) -> Reader:
        """A reader of its own; readers of one group share the partitions among them.

        Without a group it is assigned all of them at once, and nobody else notices. The embedded
        log, which one worker reads, assigns all of them to every reader.
        """
        ...

    def now_ms(self) -> int:
        """The clock that stamps `appended_ms`."""
        ...

    def close(self) -> None: ...
