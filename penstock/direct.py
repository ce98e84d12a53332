"""Events into the log without a server: what ingest does to a batch, in this process."""

from penstock.web import batches
from penstock.web.batches import Rejected
from streams import envelopes
from streams.keys import Principal
from streams.logs.base import Log
from streams.topics import EVENTS


class Direct:
    """Appends batches of lines to the log's events, under the rules of ingest.

    Envelopes name `key`, whose events they hold; `appended_ms`, when given, counts as the time
    at which the log got them.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._partitions = log.state(EVENTS.name).partitions

    def take(
        self, lines: list[bytes], *, key: str | None = None, appended_ms: int | None = None
    ) -> list[Rejected]:
        """The good events are durable; returns the others."""
        batch = batches.read(lines, Principal(None), self._partitions)
        values = [
            (partition, envelopes.pack(some, key=key, appended_ms=appended_ms))
            for partition, some in batch.by_partition.items()
        ]
        if values:
            self._log.append(EVENTS.name, values)
        return batch.rejected

    def post(self, lines: list[bytes]) -> list[tuple[int, str, str, str]]:
        """As `penstock.sending.Target.post`."""
        plain = [line.rstrip(b"\r\n") for line in lines]
        return [(r.index, r.code, r.field, r.detail) for r in self.take(plain)]

    def hurry(self) -> None:
        """Nothing here waits for long."""
