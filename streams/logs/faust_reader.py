"""Reading a topic of a Kafka cluster through a Faust app.

The app stands where the group's committed offsets are, and hands over what it fetches, also what
it fetched before it was told to seek. So each record is held against the offset that is due. Where
another comes, or none, the brokers are asked by kafka-python: offsets may hold no record, records
may be deleted, the topic may have been made again; or else the app is told where to read.
"""

import time
from collections import Counter
from collections.abc import Mapping

from kafka import TopicPartition

from streams.errors import InputError, UnavailableError
from streams.logs.base import GapError, Log, Record, TopicState
from streams.logs.faust_app import Assignment, FaustApp
from streams.logs.kafka_cluster import Cluster
from streams.logs.kafka_reader import KafkaReader
from streams.logs.membership import Membership
from streams.logs.queues import Queues
from streams.logs.same_topic import SameTopic

TELL_S = 1.0  # how far the group's committed offsets may be behind what is counted
LAST_TELL_S = 0.3  # how long closing may wait until they are not
ENOUGH_BYTES = 16 << 20  # in our queues: with more, the app waits
SOON_S = 0.5  # how long a record that is there may take to come once it is sought
SILENT_S = 5.0  # how long nothing may come before it is looked whether there is something
ASK_S = 1.0  # how long the brokers may take to answer what is due
TRIES = 10  # seeks in vain before the app is started anew


class FaustReader:
    """A `Reader` whose partitions are given and taken by the group's coordinator, through Faust."""

    def __init__(
        self,
        cluster: Cluster,
        log: Log,
        state: TopicState,
        *,
        group: str,
        membership: Membership,
    ) -> None:
        self._cluster = cluster
        self._log = log
        self._state = state
        self._group = group
        self._membership = membership
        self._known = Assignment()  # what the caller was told is ours
        self._queues = Queues()
        self._astray: set[int] = set()  # the app is to be told where to read
        self._gaps: dict[int, GapError] = {}
        self._ask_at: dict[int, float] = {}  # when to look why nothing of a partition comes
        self._tries: Counter[int] = Counter()  # seeks in vain
        self._asker: KafkaReader | None = None
        self._same = SameTopic(log, state)
        self._untold: dict[int, int] = {}  # counted, not yet committed to the group
        self._told_at = 0.0
        self._app = self._new_app()

    def assigned(self) -> frozenset[int]:
        now = self._app.assignment()
        if now.rebalances != self._known.rebalances:  # missing once, to be claimed again
            self._lose_all()
            now = Assignment(now.rebalances)
        self._known = now
        return now.partitions

    def seek(self, partition: int, offset: int) -> None:
        if partition not in self._known.partitions:
            raise InputError(f"partition {partition} is not ours", field="partition", rule="range")
        begin = self._log.bounds(self._state.name)[partition].begin
        self._queues.open(partition, offset)
        self._gaps.pop(partition, None)
        if offset < begin:
            self._gaps[partition] = GapError(
                self._state.name, partition, wanted=offset, begin=begin
            )
        self._tries.pop(partition, None)
        self._ask_at[partition] = time.monotonic() + SOON_S

    def poll(self, *, max_bytes: int, timeout_s: float) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        self._begin_again_if_ended()
        self._begin_again_if_out_of_touch()
        self._tell()
        while True:
            if self._queues.bytes < ENOUGH_BYTES:
                left_s = max(0.0, deadline - time.monotonic())
                self._receive(left_s if self._queues.are_empty() else 0.0)
            self._look_after()
            for partition, gap in self._gaps.items():
                if self._queues.is_empty(partition):
                    raise gap
            records = self._queues.share(max_bytes)
            if records or time.monotonic() >= deadline or self._app.assignment() != self._known:
                return records

    def counted(self, next_offsets: Mapping[int, int]) -> None:
        self._untold |= next_offsets

    def close(self) -> None:
        if self._untold:
            self._app.commit(self._untold, within_s=LAST_TELL_S)
        self._app.stop()
        if self._asker is not None:
            self._asker.close()

    # --- the app

    def _new_app(self) -> FaustApp:
        topic, group = self._cluster.topic(self._state.name), self._cluster.topic(self._group)
        return FaustApp(self._cluster, topic=topic, group=group)

    def _begin_again(self) -> None:
        self._app.stop()
        self._lose_all()
        self._known = Assignment()
        self._app = self._new_app()
        self._membership.joins()

    def _begin_again_if_ended(self) -> None:
        failure = self._app.failure
        if failure is not None:
            self._same.check()  # an app that finds no brokers would only end again
            self._begin_again()
            raise failure

    def _begin_again_if_out_of_touch(self) -> None:
        try:
            self._membership.check(self._app.assignment().partitions)
        except UnavailableError:
            self._begin_again()
            raise

    def _lose_all(self) -> None:
        for partition in list(self._queues):
            self._queues.close(partition)
        for kept in (self._astray, self._gaps, self._ask_at, self._tries, self._untold):
            kept.clear()

    def _tell(self) -> None:
        if self._untold and time.monotonic() > self._told_at + TELL_S:
            self._told_at = time.monotonic()
            self._app.commit(self._untold)
            self._untold = {}

    # --- records in order

    def _receive(self, timeout_s: float) -> None:
        """What the app handed over in order is in the queues; the rest is dropped."""
        for record in self._app.take(self._known, timeout_s):
            partition = record.partition
            if partition not in self._queues or partition in self._astray | self._gaps.keys():
                continue
            if record.offset > self._queues.next(partition):
                self._ask(partition)
                if record.offset > self._queues.next(partition):
                    self._astray.add(partition)
                    continue
            if record.offset == self._queues.next(partition):
                self._queues.add(partition, [record])
                self._ask_at[partition] = time.monotonic() + SILENT_S
                self._tries.pop(partition, None)

    def _ask(self, partition: int) -> None:
        """The next record that the brokers have is in the queue, or the gap before it is noted."""
        if self._asker is None:
            self._asker = KafkaReader(self._cluster, self._log, self._state, group=None)
        due = self._queues.next(partition)
        try:
            self._asker.seek(partition, due)
            self._queues.add(partition, self._asker.poll(max_bytes=1, timeout_s=ASK_S))
        except GapError as gap:
            self._gaps[partition] = gap
        finally:
            place = TopicPartition(self._cluster.topic(self._state.name), partition)
            self._asker.taken([place])
            self._asker.given([place])

    def _look_after(self) -> None:
        """Partitions that are silent or astray are at their end, or read on where they are due."""
        now = time.monotonic()
        silent = {
            p
            for p in self._queues
            if now > self._ask_at[p] and p not in self._gaps and self._queues.is_empty(p)
        }
        self._same.check_in_time()
        if silent:
            self._same.check()
            ends = {p: bounds.end for p, bounds in self._log.bounds(self._state.name).items()}
            for partition in silent:
                if self._queues.next(partition) < ends[partition]:
                    self._ask(partition)
                if self._queues.next(partition) < ends[partition]:
                    self._astray.add(partition)
                self._ask_at[partition] = now + SILENT_S
        if self._astray:
            self._seek_astray()

    def _seek_astray(self) -> None:
        partitions = self._astray - self._gaps.keys()
        self._astray.clear()
        self._tries.update(partitions)
        for partition in partitions:
            if self._tries[partition] > TRIES:
                self._begin_again()
                raise UnavailableError(
                    f"Faust delivers nothing of {self._state.name}/{partition}",
                    fix="it is started again; --engine kafka-python does without it",
                )
        if partitions:
            self._app.seek({p: self._queues.next(p) for p in partitions})
