"""Reading a topic of a Kafka cluster as one member of a group.

A rebalance only pauses what is new and notes what is gone. The caller learns of both from
`assigned`, claims what is new, and seeks it; nothing is read before that. A partition that was
taken away and given back is missing from one answer in between, so that it is claimed again.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from streams.errors import InputError
from streams.logs.base import GapError, Log, Record, TopicState
from streams.logs.kafka_cluster import Cluster, answering
from streams.logs.kafka_records import nothing, records_of
from streams.logs.queues import Queues
from streams.logs.same_topic import SameTopic

MAX_RECORDS = 500  # of one poll of the client; a record is an envelope of many events
ENOUGH_BYTES = 16 << 20  # fetched and not yet polled: with more, only the group is kept in touch
PASSED_S = 1.0  # how long a partition that brings nothing goes unasked while others bring records
TELL_S = 1.0  # how far the group's committed offsets may be behind what is counted
LAST_TELL_S = 0.3  # how long closing may wait until they are not
SETTINGS: Mapping[str, Any] = {
    "enable_auto_commit": False,
    "auto_offset_reset": "none",  # never jump silently: a gap is noted, then stepped over
    "isolation_level": "read_committed",  # what a service took back was never said
    # Faust knows only the second: while its workers are in the group, all go by that.
    "partition_assignment_strategy": [RangePartitionAssignor, RoundRobinPartitionAssignor],
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 3_000,
    "fetch_max_wait_ms": 500,  # the price of idling; a record that comes ends it
    "fetch_max_bytes": 8 << 20,
    "max_partition_fetch_bytes": 4 << 20,
}


class KafkaReader:
    """A `Reader` whose partitions are given and taken by the group's coordinator."""

    def __init__(self, cluster: Cluster, log: Log, state: TopicState, *, group: str | None) -> None:
        self._log = log
        self._state = state
        self._group = group
        self._name = cluster.topic(state.name)
        self._held: set[int] = set()
        self._gone: set[int] = set()  # taken away since the last `assigned`
        self._queues = Queues()  # of sought partitions
        self._gaps: dict[int, GapError] = {}
        self._untold: dict[int, int] = {}  # counted, not yet committed to the group
        self._told_at = 0.0
        self._passed_at = 0.0  # when all partitions were asked what was passed over
        self._same = SameTopic(log, state)
        with answering(f"read {state.name}"):
            self._consumer = KafkaConsumer(
                **cluster.client(), **SETTINGS, **_member(cluster, group)
            )
            if group is None:
                places = [self._place(partition) for partition in range(state.partitions)]
                self._consumer.assign(places)
                self.given(places)
                return
            self._consumer.subscribe([self._name], listener=_Rebalances(self))
            # Asked for between subscribing and joining, the metadata is there for the first
            # rebalance; else kafka-python joins without, and again when it comes.
            self._consumer.partitions_for_topic(self._name)

    def assigned(self) -> frozenset[int]:
        gone, self._gone = self._gone, set()
        return frozenset(self._held - gone)

    def seek(self, partition: int, offset: int) -> None:
        if partition not in self._held:
            raise InputError(f"partition {partition} is not ours", field="partition", rule="range")
        begin = self._log.bounds(self._state.name)[partition].begin
        place = self._place(partition)
        self._queues.open(partition, offset)
        self._gaps.pop(partition, None)
        if offset < begin:
            self._note_gap(partition, begin)
            return
        self._consumer.seek(place, offset)
        self._consumer.resume(place)

    def poll(self, *, max_bytes: int, timeout_s: float) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        self._tell()
        while True:
            for partition, gap in self._gaps.items():
                if self._queues.is_empty(partition):
                    raise gap
            left_s = max(0.0, deadline - time.monotonic())
            self._fetch(left_s if self._queues.are_empty() else 0.0)
            records = self._queues.share(max_bytes)
            if records or time.monotonic() >= deadline:
                return records

    def counted(self, next_offsets: Mapping[int, int]) -> None:
        if self._group is not None:
            self._untold |= next_offsets

    def close(self) -> None:
        if self._untold:
            with suppress(KafkaError):
                self._consumer.commit(self._committable(), timeout_ms=int(LAST_TELL_S * 1000))
        self._consumer.close()

    # --- what a rebalance brings; called inside the client's poll

    def given(self, partitions: Iterable[TopicPartition]) -> None:
        """These are ours, and wait to be sought."""
        for place in partitions:
            self._consumer.seek(place, 0)  # it has a position, and so asks for no committed one
            self._consumer.pause(place)
            self._held.add(place.partition)

    def taken(self, partitions: Iterable[TopicPartition]) -> None:
        """These are another's now; what was fetched of them is dropped."""
        for place in partitions:
            self._held.discard(place.partition)
            self._gone.add(place.partition)
            self._queues.close(place.partition)
            self._gaps.pop(place.partition, None)
            self._untold.pop(place.partition, None)

    # --- fetching

    def _fetch(self, timeout_s: float) -> None:
        """What the brokers sent is in the queues; places that they no longer hold are gaps."""
        self._same.check_in_time()
        with answering(f"read {self._state.name}"):
            try:
                fetched = self._consumer.poll(
                    timeout_ms=int(timeout_s * 1000), max_records=self._room()
                )
            except (OffsetOutOfRangeError, LogTruncationError):
                self._note_gaps()
                return
        for place, records in fetched.items():
            if place.partition in self._queues:
                due = self._queues.next(place.partition)
                self._queues.add(place.partition, records_of(records, due))
        if (timeout_s and not fetched) or time.monotonic() > self._passed_at + PASSED_S:
            self._note_passed()

    def _room(self) -> int:
        """How many records may come: a poll for fewer than one cannot be made."""
        return MAX_RECORDS if self._queues.bytes < ENOUGH_BYTES else 1

    def _note_passed(self) -> None:
        """What the client passed over at the end of a partition is in its queue, as nothing.

        Without it a partition whose last record is the mark of a transaction had no end. It costs
        more than a poll, so it waits until nothing comes, or for a second.
        """
        self._passed_at = time.monotonic()
        for partition in set(self._queues) - self._gaps.keys():
            begin = self._queues.next(partition)
            with answering(f"tell the position in {self._state.name}"):
                end = self._consumer.position(self._place(partition))
            if end > begin:
                passed = nothing(partition, begin=begin, end=end, now_ms=self._log.now_ms())
                self._queues.add(partition, [passed])

    def _note_gaps(self) -> None:
        self._same.check()
        bounds = self._log.bounds(self._state.name)
        for partition in self._queues:
            if self._queues.next(partition) < bounds[partition].begin:
                self._note_gap(partition, bounds[partition].begin)

    def _note_gap(self, partition: int, begin: int) -> None:
        self._consumer.pause(self._place(partition))
        self._gaps[partition] = GapError(
            self._state.name, partition, wanted=self._queues.next(partition), begin=begin
        )

    def _tell(self) -> None:
        """What is counted is on its way to the group, once in a while; an answer is not waited for.

        A commit that the group refuses is as good as one that was lost: the next one says more.
        """
        if self._untold and time.monotonic() > self._told_at + TELL_S:
            self._told_at = time.monotonic()
            with suppress(KafkaError):
                self._consumer.commit_async(self._committable(), callback=_unheard)
            self._untold = {}

    def _committable(self) -> dict[TopicPartition, OffsetAndMetadata]:
        return {self._place(p): OffsetAndMetadata(offset) for p, offset in self._untold.items()}

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._name, partition)


def _member(cluster: Cluster, group: str | None) -> dict[str, Any]:
    """Who we are in the group: a member that comes back under its name takes over at once."""
    if group is None:
        return {"group_id": None}
    return {"group_id": cluster.topic(group), "group_instance_id": cluster.worker}


def _unheard(_offsets: object, _answer: object) -> None:
    """In place of kafka-python's own, which warns of every commit that was refused."""


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Tells the reader; anything longer would hold up the whole group."""

    def __init__(self, reader: KafkaReader) -> None:
        self._reader = reader

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._reader.given(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._reader.taken(revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._reader.taken(lost)
