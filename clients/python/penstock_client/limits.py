"""How much the client may take: memory, disk, time."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds that a client keeps; the defaults suit a service with 5,000 answers a second."""

    flush_ms: int = 50  # how long a recorded event waits for company
    batch_events: int = 500  # events in one request; the server takes 1,000
    batch_bytes: int = 256 * 1024  # in one request, before compression; the server takes 1 MiB
    buffer_bytes: int = 64 * 1024 * 1024  # in memory; beyond it whole units are dropped
    spool_bytes: int = (
        256 * 1024 * 1024
    )  # on disk, per server and model; beyond it the buffer fills
    timeout_s: float = 10.0  # to connect, and for each piece of an answer
    backoff_min_s: float = 1.0  # the first wait after a failure; doubles, with jitter
    backoff_max_s: float = 60.0  # the longest, and the wait after a wrong key
    exit_s: float = 2.0  # how long the end of the process may be held up
    report_s: float = 60.0  # the shortest time between two log lines of one kind

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; must be more than 0")
        if self.batch_events > 1000 or self.batch_bytes > 512 * 1024:
            raise ValueError("the server takes at most 1,000 events and 1 MiB in a request")
        if self.backoff_min_s > self.backoff_max_s:
            raise ValueError("backoff_min_s must not exceed backoff_max_s")
