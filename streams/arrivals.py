"""What one poll brought: decoded events with their places and times, and what could not be read.

Everything here happens before the transaction, so that the store is held only for the store.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from streams import codec
from streams.events import AnyEvent, Fault, Prediction, time_ms
from streams.logs.base import Record

SKEW_MS = 5 * 60_000  # an event's time may be this far ahead of the log's clock unmarked

Ints = npt.NDArray[np.int64]
# Model, version, role, route, arm, version of the route.
Series = tuple[str, str, str, str, str | None, int | None]


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """What could not be taken, with its place and the reason."""

    partition: int
    offset: int
    index: int
    code: str
    field: str
    detail: str
    raw: bytes
    key_id: str | None
    at_ms: int


class Arrivals(msgspec.Struct):
    """The events of a poll in log order, each partition's in its own; columns run over events."""

    events: list[AnyEvent]
    lines: list[bytes]
    keys: list[str | None]  # the API key that sent it
    hops: list[int]
    partition: Ints
    offset: Ints
    index: Ints
    appended_ms: Ints
    event_ms: Ints  # min(time, appended)
    skewed: npt.NDArray[np.bool_]
    dead: list[DeadLetter]
    ends: dict[int, tuple[int, int]]  # partition -> (where it went on, where it goes on next)
    answers: list[int] = []  # which events are predictions, and which are not
    others: list[int] = []
    predictions: list[Prediction] = []  # themselves, in log order
    _series: tuple[list[Series], Ints] | None = None

    def __post_init__(self) -> None:
        answers: list[int] = []
        others: list[int] = []
        for k, event in enumerate(self.events):
            (answers if type(event) is Prediction else others).append(k)
        self.answers, self.others = answers, others
        events: list[Any] = self.events
        self.predictions = [events[k] for k in answers] if others else events

    def series(self) -> tuple[list[Series], Ints]:
        """(the distinct series, which of them each prediction belongs to).

        Names come in few combinations, so they are looked up once for each.
        """
        if self._series is None:
            number: defaultdict[Series, int] = defaultdict(itertools.count().__next__)
            of = [
                number[e.model, e.version, e.role, e.route, e.arm, e.route_version]
                for e in self.predictions
            ]
            self._series = (list(number), np.array(of, np.int64))
        return self._series

    def models(self) -> set[str]:
        """The models that the events are about."""
        named = {series[0] for series in self.series()[0]}
        return named.union([self.events[k].model for k in self.others])

    def __len__(self) -> int:
        return len(self.events)

    def letter(self, k: int, fault: Fault) -> DeadLetter:
        """Event k as a dead letter."""
        return DeadLetter(
            int(self.partition[k]),
            int(self.offset[k]),
            int(self.index[k]),
            fault.code,
            fault.field,
            fault.detail,
            self.lines[k][: codec.MAX_RAW_BYTES],
            self.keys[k],
            int(self.appended_ms[k]),
        )

    def without(self, faults: dict[int, Fault]) -> "Arrivals":
        """The same arrivals with these events as dead letters."""
        if not faults:
            return self
        letters = [self.letter(k, fault) for k, fault in sorted(faults.items())]
        return self._only([k for k in range(len(self)) if k not in faults], self.dead + letters)

    def slice(self, low: int, high: int) -> "Arrivals":
        """Events low..high alone: what is tried when one of them makes the fold fail."""
        return self._only(list(range(low, high)), [])

    def of_partitions(self, kept: frozenset[int]) -> "Arrivals":
        """What came from these partitions."""
        mine = np.isin(self.partition, list(kept)).nonzero()[0].tolist()
        left = self._only(mine, [letter for letter in self.dead if letter.partition in kept])
        left.ends = {p: end for p, end in self.ends.items() if p in kept}
        return left

    def _only(self, kept: list[int], dead: list[DeadLetter]) -> "Arrivals":
        return Arrivals(
            [self.events[k] for k in kept],
            [self.lines[k] for k in kept],
            [self.keys[k] for k in kept],
            [self.hops[k] for k in kept],
            self.partition[kept],
            self.offset[kept],
            self.index[kept],
            self.appended_ms[kept],
            self.event_ms[kept],
            self.skewed[kept],
            dead,
            self.ends,
        )


def gather(records: Sequence[Record]) -> Arrivals:
    """Every event of these records, decoded; what cannot be read is a dead letter."""
    events: list[AnyEvent] = []
    lines: list[bytes] = []
    keys: list[str | None] = []
    hops: list[int] = []
    places: list[tuple[int, int, int]] = []  # (partition, offset, appended) of a record
    counts: list[int] = []
    indexes: list[Sequence[int]] = []
    dead: list[DeadLetter] = []
    ends: dict[int, tuple[int, int]] = {}
    for record in records:
        decoded, refused = codec.decode_record(record.value)
        header, count = decoded.header, len(decoded.events)
        appended_ms = record.appended_ms
        if header.appended_ms is not None:  # whoever claims a later one would set the clock ahead
            appended_ms = min(appended_ms, header.appended_ms)
        events += decoded.events
        lines += decoded.lines
        keys += [header.key] * count
        hops += [header.hops] * count
        places.append((record.partition, record.offset, appended_ms))
        counts.append(count)
        indexes.append(decoded.indexes)
        if decoded.bad or refused:
            dead += _letters(record, decoded, refused)
        first = ends.get(record.partition, (record.offset - record.skipped, 0))[0]
        ends[record.partition] = (first, record.offset + 1)
    partition, offset, appended = (
        np.repeat(np.array([place[k] for place in places], dtype=np.int64), counts)
        for k in range(3)
    )
    index = np.fromiter((i for part in indexes for i in part), np.int64, len(events))
    times = [t if type(t := event.time) is int else time_ms(t) for event in events]
    said = np.array(times, np.int64)
    return Arrivals(
        events, lines, keys, hops, partition, offset, index, appended,
        np.minimum(said, appended), said > appended + SKEW_MS, dead, ends,
    )  # fmt: skip


def _letters(
    record: Record, decoded: codec.Decoded, refused: list[tuple[int, Any]]
) -> list[DeadLetter]:
    key = decoded.header.key
    place = (record.partition, record.offset)
    letters = [
        DeadLetter(
            *place, bad.index, bad.fault.code, bad.fault.field, bad.fault.detail,
            bad.raw, key, record.appended_ms,
        )
        for bad in decoded.bad
    ]  # fmt: skip
    letters += [
        DeadLetter(
            *place, index, event.code, event.field, event.detail, event.raw.encode(), key,
            record.appended_ms,
        )
        for index, event in refused
    ]  # fmt: skip
    return letters


def watermarks_before(arrivals: Arrivals, stored: Mapping[int, int], *, lateness_ms: int) -> Ints:
    """The watermark each event meets: the stored one joined with those of the events before it."""
    before = np.empty(len(arrivals), np.int64)
    for partition in set(arrivals.partition.tolist()):
        mine = (arrivals.partition == partition).nonzero()[0]
        reached = np.maximum.accumulate(arrivals.event_ms[mine]) - lateness_ms
        before[mine[0]] = stored[partition]
        before[mine[1:]] = np.maximum(reached[:-1], stored[partition])
    return before


def watermarks_after(
    arrivals: Arrivals, stored: dict[int, int], *, lateness_ms: int
) -> dict[int, int]:
    """Each touched partition's watermark once all these events were counted."""
    after = dict(stored)
    for partition in set(arrivals.partition.tolist()):
        newest = int(arrivals.event_ms[arrivals.partition == partition].max()) - lateness_ms
        after[partition] = max(stored[partition], newest)
    return after
