"""The relay: outbox to log, at least once, in order per key."""

from sqlalchemy import Engine

from streams import outbox
from streams.db.clock import Clock
from streams.db.engine import reading, writing
from streams.hashing import partition_of
from streams.logs.base import Log

LEASE_MS = 30_000


class Relay:
    """Sends what the outbox holds, a claim at a time."""

    def __init__(self, log: Log, engine: Engine, *, owner: str, clock: Clock) -> None:
        self._log = log
        self._engine = engine
        self._owner = owner
        self._clock = clock

    def step(self) -> int:
        """Sends up to one claim's worth of messages; returns how many."""
        with reading(self._engine) as connection:
            if not outbox.waiting(connection)[0]:
                return 0
        with writing(self._engine) as connection:
            claimed = outbox.claim(
                connection, owner=self._owner, now_ms=self._clock.wall_ms(), lease_ms=LEASE_MS
            )
        by_topic: dict[str, list[outbox.Claimed]] = {}
        for message in claimed:
            by_topic.setdefault(message.topic, []).append(message)
        for topic, messages in by_topic.items():
            partitions = self._log.state(topic).partitions
            values = [
                (
                    partition_of(topic, m.key, partitions) if m.partition is None else m.partition,
                    m.body,
                )
                for m in messages
            ]
            self._log.append(topic, values)
            with writing(self._engine) as connection:
                outbox.sent(connection, messages, owner=self._owner)
        return len(claimed)
