"""A log in memory for one reader: what was read is gone. For replays, never for what must last."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from streams.envelopes import pack
from streams.errors import InputError
from streams.logs.base import Bounds, Kept, Record, TopicState
from streams.topics import EVENTS


class MemoryLog:
    """A `Log` with one topic, `events`, that serves records in the order they were put.

    Args:
        now_ms: the log's clock.
    """

    def __init__(self, *, partitions: int, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self._ends = [0] * partitions
        self._unread: deque[Record] = deque()

    def put(self, partition: int, lines: Iterable[bytes]) -> None:
        """One envelope."""
        self.append(EVENTS.name, [(partition, pack(lines))])

    def ensure(
        self,
        topic: str,
        partitions: int,
        *,
        retention_ms: int | None = None,
        retention_bytes: int | None = None,
    ) -> TopicState:
        del retention_ms, retention_bytes
        state = self.state(topic)
        if partitions != state.partitions:
            raise InputError(f"{topic} has {state.partitions} partitions", field="partitions")
        return state

    def state(self, topic: str) -> TopicState:
        _known(topic)
        return TopicState(topic, "memory", len(self._ends))

    def append(self, topic: str, values: Sequence[tuple[int, bytes]]) -> list[int]:
        _known(topic)
        offsets = []
        for partition, value in values:
            offsets.append(self._ends[partition])
            self._ends[partition] += 1
            self._unread.append(Record(partition, offsets[-1], self.now_ms(), value))
        return offsets

    def bounds(self, topic: str) -> dict[int, Bounds]:
        _known(topic)
        left = {record.partition: record.offset for record in reversed(self._unread)}
        return {p: Bounds(left.get(p, end), end) for p, end in enumerate(self._ends)}

    def kept(self, topic: str) -> Kept:
        _known(topic)
        return Kept()

    def reader(self, topic: str, *, group: str | None) -> "MemoryReader":
        del group
        _known(topic)
        return MemoryReader(self._unread, frozenset(range(len(self._ends))))

    def close(self) -> None:
        self._unread.clear()


class MemoryReader:
    """The one `Reader` of a MemoryLog: it begins where the log does."""

    def __init__(self, unread: deque[Record], partitions: frozenset[int]) -> None:
        self._unread = unread
        self._partitions = partitions

    def assigned(self) -> frozenset[int]:
        return self._partitions

    def seek(self, partition: int, offset: int) -> None:
        """Where it stands already: nothing that was read can be read again."""

    def poll(self, *, max_bytes: int, timeout_s: float) -> list[Record]:
        del timeout_s
        size = count = 0
        for record in self._unread:
            size += len(record.value)
            count += 1
            if size >= max_bytes:
                break
        found = list(islice(self._unread, count))
        for _ in found:
            self._unread.popleft()
        return found

    def counted(self, next_offsets: Mapping[int, int]) -> None:
        pass

    def close(self) -> None:
        pass


def _known(topic: str) -> None:
    if topic != EVENTS.name:
        raise InputError(f"a log in memory has no topic {topic!r}")
