"""Messages between rooms, handled once: effect, position and inbox row in one transaction."""

import logging
import threading
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, Engine, delete
from sqlalchemy.dialects import postgresql, sqlite

from streams import deadletters, messages
from streams.arrivals import DeadLetter
from streams.db.clock import Clock
from streams.db.engine import writing
from streams.errors import ConflictError, UnavailableError
from streams.holding import Holding
from streams.logs.base import GapError, Log, Record
from streams.messages import Message
from streams.positions import Moved
from streams.tables import inbox

Handle = Callable[[Connection, Message, int], None]

_log = logging.getLogger(__name__)


class Subscription:
    """One consumer's reading of one topic.

    `handle(connection, message, now_ms)` writes its effect with the connection it is given and
    nothing else; a message that was handled before is skipped by its id.
    """

    def __init__(
        self, log: Log, engine: Engine, *, topic: str, consumer: str, owner: str, clock: Clock,
        handle: Handle,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._consumer = consumer
        self._clock = clock
        self._handle = handle
        self._held = Holding(log, engine, topic=topic, consumer=consumer, owner=owner, clock=clock)

    def run(self, stop: threading.Event) -> None:
        """Every message is handled, until `stop`."""
        while not stop.is_set():
            try:
                self.step(timeout_s=0.2)
            except UnavailableError as error:
                _log.warning("%s waits: %s", self._consumer, error)
                stop.wait(1.0)

    def step(self, *, timeout_s: float = 0.0) -> int:
        """Handles what is there; returns how many records were taken."""
        if self._held.changed():
            self._held.claim()
        try:
            records = self._held.poll(max_bytes=1_000_000, timeout_s=timeout_s)
        except GapError as gap:
            self._held.jump(gap)
            return 0
        try:
            for record in records:
                self._take(record)
        except ConflictError:
            self._held.lose_all()  # claim and seek again: another owner, or a race
            return 0
        except Exception:
            self._held.lose_all()  # what was polled and not handled is read again
            raise
        return len(records)

    def close(self) -> None:
        self._held.close()

    def _take(self, record: Record) -> None:
        position = self._held.positions[record.partition]
        now_ms = self._clock.domain_ms()
        step = Moved(
            record.partition, position.fence, position.next, record.offset + 1,
            position.watermark_ms,
        )  # fmt: skip
        with writing(self._engine) as connection:
            self._held.advance(connection, [step])
            try:
                message = messages.decode(record.value)
            except msgspec.DecodeError as error:
                deadletters.save(connection, self._held.topic.name, [_letter(record, error)])
            else:
                if _is_new(connection, self._consumer, message.id, self._clock.wall_ms()):
                    self._handle(connection, message, now_ms)
        self._held.stand([step])


def _letter(record: Record, error: Exception) -> DeadLetter:
    return DeadLetter(
        record.partition, record.offset, 0, "unknown_message", "", str(error),
        record.value[:2048], None, record.appended_ms,
    )  # fmt: skip


def _is_new(connection: Connection, consumer: str, message_id: str, now_ms: int) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"consumer": consumer, "message_id": message_id, "at_ms": now_ms}
    insert = dialect.insert(inbox).values(values).on_conflict_do_nothing()
    # Asked back, not counted: an INSERT's rowcount is unknown on PostgreSQL.
    return connection.execute(insert.returning(inbox.c.message_id)).first() is not None


def forget(connection: Connection, *, before_ms: int) -> int:
    """Inbox rows older than the topics' retention are gone; returns how many."""
    return connection.execute(delete(inbox).where(inbox.c.at_ms < before_ms)).rowcount
