"""What the client did, in numbers."""

from threading import RLock

import msgspec


class Stats(msgspec.Struct, frozen=True):
    """Events since this process began.

    `accepted`, `duplicate` and `rejected` are the server's words: they hold the counts of
    assigned.v1 and what other processes left behind, too.
    """

    recorded: int  # taken from the service
    invalid: int  # not taken: could not be encoded; the reason is in `last_fault`
    accepted: int  # durably written by the server
    duplicate: int  # the server had them already
    rejected: int  # refused by the server, one by one or with their request
    dropped: int  # by the client: the buffer was full, or the process ended
    waiting: int  # in memory, or in a request whose answer has not come
    waiting_bytes: int  # in memory, Python's overhead included
    spooled_bytes: int  # on disk
    requests: int  # sent, whatever came of them
    failures: int  # requests that have to be sent again
    kept_share: float  # the share of units that is kept now; 1 unless the buffer is full
    counts_lasting: bool  # the counts of this process would outlive its crash
    last_fault: str | None  # the last thing that went wrong, for people
    route_version: int | None = None  # of the table that decides; none: the service's champion


class Tolls:
    """Counters that several threads raise."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._numbers: dict[str, int] = {}

    def add(self, name: str, count: int = 1) -> None:
        """The counter `name` is `count` higher."""
        with self._lock:
            self._numbers[name] = self._numbers.get(name, 0) + count

    def __getitem__(self, name: str) -> int:
        return self._numbers.get(name, 0)
