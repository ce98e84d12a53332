"""Records that were fetched and not yet polled, shared fairly among partitions."""

import sys
from collections import deque
from collections.abc import Iterable, Iterator

from streams.logs.base import Record


class Queues:
    """A queue for each partition that is read.

    The partition that was served longest ago comes first, so that none starves.
    """

    def __init__(self) -> None:
        self._queues: dict[int, deque[Record]] = {}
        self._next: dict[int, int] = {}
        self._turn: dict[int, int] = {}  # the share that served each partition last
        self._shares = 0
        self.bytes = 0  # of the values in all queues

    def __contains__(self, partition: int) -> bool:
        return partition in self._queues

    def __iter__(self) -> Iterator[int]:
        return iter(self._queues)

    def next(self, partition: int) -> int:
        """The offset after the last record in the queue."""
        return self._next[partition]

    def open(self, partition: int, offset: int) -> None:
        """The partition is read from `offset` on; its queue is empty."""
        self.close(partition)
        self._queues[partition] = deque()
        self._next[partition] = offset
        self._turn.setdefault(partition, 0)

    def close(self, partition: int) -> None:
        """The partition is not read; what its queue held is dropped."""
        self.bytes -= sum(len(record.value) for record in self._queues.pop(partition, ()))
        self._next.pop(partition, None)

    def add(self, partition: int, records: Iterable[Record]) -> None:
        """In offset order, after what the queue holds."""
        queue = self._queues[partition]
        for record in records:
            queue.append(record)
            self.bytes += len(record.value)
            self._next[partition] = record.offset + 1

    def are_empty(self) -> bool:
        return not any(self._queues.values())

    def is_empty(self, partition: int) -> bool:
        return not self._queues[partition]

    def share(self, max_bytes: int) -> list[Record]:
        """Up to `max_bytes` out of the queues, at least one record however large."""
        ready = sorted((p for p, q in self._queues.items() if q), key=self._turn.__getitem__)
        self._shares += 1
        records: list[Record] = []
        left = max_bytes
        for place, partition in enumerate(ready):
            share = left // (len(ready) - place)
            taken = _taken(self._queues[partition], share, left if records else sys.maxsize)
            if taken:
                left -= sum(len(record.value) for record in taken)
                records += taken
                self._turn[partition] = self._shares
        self.bytes -= sum(len(record.value) for record in records)
        return records


def _taken(queue: deque[Record], share: int, room: int) -> list[Record]:
    """The next records within `share`, or one alone within `room`."""
    taken: list[Record] = []
    size = 0
    while queue:
        size += len(queue[0].value)
        if size > share and (taken or size > room):
            break
        taken.append(queue.popleft())
    return taken
