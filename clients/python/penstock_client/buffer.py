"""The one bounded buffer between the service and the sender.

When it is full, whole lots (units) leave, highest lot first, and stay out until it has drained:
what is kept is an unbiased sample, in which an answer, its shadow and its label are together.
Nothing goes because it is new.
"""

from collections import deque
from threading import RLock
from typing import NamedTuple

from .counts import Tally
from .ids import LOTS

OVERHEAD_BYTES = 160  # what Python adds to a line: bytes header, tuple, list slot
_SEGMENT_ENTRIES = 128  # short enough that a caller can tidy one in about 10 microseconds
_SEGMENT_BYTES = 64 * 1024


class Entry(NamedTuple):
    """One encoded event."""

    lot: int
    line: bytes
    tally: Tally | None  # set on live answers: where to count if it is dropped


def _thresholds() -> tuple[int, ...]:
    """How many lots are kept after each step: an eighth less each time, down to none."""
    steps = [LOTS]
    while steps[-1]:
        steps.append(steps[-1] * 7 // 8)
    return tuple(steps)


THRESHOLDS = _thresholds()
# The last step at which a lot is still kept, by lot.
_LEVELS = b"".join(
    bytes([step]) * (THRESHOLDS[step] - THRESHOLDS[step + 1])
    for step in reversed(range(len(THRESHOLDS) - 1))
)


class _Segment:
    """A stretch of entries in the order of their arrival."""

    __slots__ = ("bytes", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.bytes = 0


class Buffer:
    """Entries in order of arrival, at most `limit_bytes` of them; safe to share between threads.

    An entry is kept if its level (a function of its lot) is not below `_step`. Raising the step
    makes entries dead at once; they are removed a segment at a time by whoever comes next, so no
    caller ever walks through the whole buffer.
    """

    def __init__(self, *, limit_bytes: int, batch_bytes: int, batch_events: int) -> None:
        self._limit_bytes = limit_bytes
        self._batch_bytes = batch_bytes
        self._batch_events = batch_events
        self._segment_entries = min(_SEGMENT_ENTRIES, batch_events)
        self._segment_bytes = min(_SEGMENT_BYTES, batch_bytes)
        # Re-entrant: a signal handler or a finaliser may record in the middle of a record.
        self._lock = RLock()
        self._segments: deque[_Segment] = deque()
        self._cursor = 0  # the segment that is tidied next
        self._step = 0
        self._level_bytes = [0] * (len(THRESHOLDS) - 1)
        self._live_bytes = 0
        self._dead_bytes = 0
        self._count = 0
        self._dropped = 0

    def __len__(self) -> int:
        return self._count

    @property
    def empty(self) -> bool:
        """Nothing waits in it."""
        return not self._segments

    @property
    def ready(self) -> bool:
        """A whole batch waits in it."""
        return self._count >= self._batch_events or self._live_bytes >= self._batch_bytes

    @property
    def waiting_bytes(self) -> int:
        """What it holds now, Python's overhead and dead entries included."""
        return self._live_bytes + self._dead_bytes

    @property
    def kept_share(self) -> float:
        """The share of units that is kept now: 1 unless the buffer is or was full."""
        return THRESHOLDS[self._step] / LOTS

    @property
    def dropped(self) -> int:
        """Entries that were dropped because it was full, from the start."""
        return self._dropped

    def put(self, entry: Entry) -> bool:
        """The entry is kept, or counted as dropped; true if a whole batch is ready."""
        with self._lock:
            self._keep(entry, self._segments)
            if self._live_bytes > self._limit_bytes:
                self._shrink()
            if self._dead_bytes:
                self._tidy()
            return self.ready

    def take(self) -> list[Entry]:
        """The oldest batch leaves the buffer; if half of it is free, more lots are kept again."""
        batch: list[Entry] = []
        batch_bytes = 0
        with self._lock:
            while self._segments:
                segment = self._segments[0]
                if batch and (
                    batch_bytes + segment.bytes > self._batch_bytes
                    or len(batch) + len(segment.entries) > self._batch_events
                ):
                    break
                self._sift(segment)
                self._segments.popleft()
                self._forget(segment)
                batch += segment.entries
                batch_bytes += segment.bytes
            for _ in range(8):
                if self._dead_bytes:
                    self._tidy()
            # A lot comes back only when nothing of it is left, or it would return in part.
            if self._step and not self._dead_bytes and self._live_bytes <= self._limit_bytes // 2:
                self._step -= 1
        return batch

    def restore(self, batch: list[Entry]) -> None:
        """A batch that could not be sent is the oldest again; lots that left meanwhile leave."""
        with self._lock:
            front: deque[_Segment] = deque()
            for entry in batch:
                self._keep(entry, front)
            self._segments.extendleft(reversed(front))
            if self._live_bytes > self._limit_bytes:
                self._shrink()

    def drain(self) -> list[Entry]:
        """Everything that is still kept leaves the buffer, oldest first."""
        everything: list[Entry] = []
        while self._segments:
            everything += self.take()
        return everything

    def _keep(self, entry: Entry, segments: deque[_Segment]) -> None:
        level = _LEVELS[entry.lot]
        if level < self._step:
            self._drop(entry)
            return
        cost = len(entry.line) + OVERHEAD_BYTES
        if (
            not segments
            or len(segments[-1].entries) >= self._segment_entries
            or segments[-1].bytes + cost > self._segment_bytes
        ):
            segments.append(_Segment())
        segment = segments[-1]
        segment.entries.append(entry)
        segment.bytes += cost
        self._level_bytes[level] += cost
        self._live_bytes += cost
        self._count += 1

    def _shrink(self) -> None:
        """At least an eighth of the bytes is dead: the lots that hold them are out."""
        target = self._limit_bytes - self._limit_bytes // 8
        while self._live_bytes > target:
            freed = self._level_bytes[self._step]
            self._level_bytes[self._step] = 0
            self._live_bytes -= freed
            self._dead_bytes += freed
            self._step += 1

    def _tidy(self) -> None:
        """The segment under the cursor holds no dead entry, and is gone if it holds none."""
        if self._cursor >= len(self._segments):
            self._cursor = 0
        segment = self._segments[self._cursor]
        self._sift(segment)
        if not segment.entries:
            del self._segments[self._cursor]
            return
        before = self._segments[self._cursor - 1] if self._cursor else None
        if (
            before
            and len(before.entries) + len(segment.entries) <= self._segment_entries
            and before.bytes + segment.bytes <= self._segment_bytes
        ):
            before.entries += segment.entries
            before.bytes += segment.bytes
            del self._segments[self._cursor]
        else:
            self._cursor += 1

    def _sift(self, segment: _Segment) -> None:
        if not self._dead_bytes:
            return
        kept = []
        for entry in segment.entries:
            if _LEVELS[entry.lot] >= self._step:
                kept.append(entry)
                continue
            cost = len(entry.line) + OVERHEAD_BYTES
            segment.bytes -= cost
            self._dead_bytes -= cost
            self._count -= 1
            self._drop(entry)
        segment.entries = kept

    def _forget(self, segment: _Segment) -> None:
        for entry in segment.entries:
            self._level_bytes[_LEVELS[entry.lot]] -= len(entry.line) + OVERHEAD_BYTES
        self._live_bytes -= segment.bytes
        self._count -= len(segment.entries)

    def _drop(self, entry: Entry) -> None:
        self._dropped += 1
        if entry.tally is not None:
            entry.tally.drop()
