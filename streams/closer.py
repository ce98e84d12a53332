"""The closer: what one worker alone cannot see.

A label and its answer that two workers commit at the same instant miss each other: the label
waits as an orphan although its request is there. The closer looks at young orphans every second
and sends such a label on to the partition of its request, where it is counted as if it came now.
"""

from sqlalchemy import Connection, Engine, delete, select

from streams import ledger, outbox
from streams.codec import decode_record
from streams.db.clock import Clock
from streams.db.engine import reading, writing
from streams.envelopes import pack
from streams.ledger import Orphan
from streams.tables import orphan
from streams.topics import EVENTS

YOUNG_MS = 120_000
LOOK_AT = 10_000  # orphans in one step; when more are young, steps go round

_at = orphan.c


class Closer:
    """Re-probes young orphans, a step at a time."""

    def __init__(self, engine: Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._seen_ms = 0  # where the next step goes on

    def step(self) -> int:
        """Sends on every young orphan whose request has come; returns how many."""
        now_ms = self._clock.wall_ms()
        with reading(self._engine) as connection:
            young = _young(connection, max(self._seen_ms, now_ms - YOUNG_MS))
            found = _found(connection, young)
        self._seen_ms = young[-1].seen_ms if len(young) == LOOK_AT else 0
        if not found:
            return 0
        with writing(self._engine) as connection:
            messages = [
                _message(waiting, partition)
                for waiting, partition in found
                if _taken(connection, waiting)
            ]
            outbox.put(connection, messages, now_ms=now_ms)
        return len(messages)


def _young(connection: Connection, since_ms: int) -> list[Orphan]:
    young = select(orphan).where(_at.seen_ms >= since_ms).order_by(_at.seen_ms).limit(LOOK_AT)
    rows = connection.execute(young)
    return [Orphan(*row) for row in rows]


def _found(connection: Connection, young: list[Orphan]) -> list[tuple[Orphan, int]]:
    """Orphans whose request is in the ledger, by id or by join key, with its partition."""
    by_join = {waiting: _is_by_join(waiting) for waiting in young}
    stored = ledger.probe(
        connection,
        {waiting.key for waiting in young if not by_join[waiting]},
        {waiting.key for waiting in young if by_join[waiting]},
    )
    homes = ((waiting, _home(stored, waiting.key, by_join[waiting])) for waiting in young)
    return [(waiting, home) for waiting, home in homes if home is not None]


def _is_by_join(waiting: Orphan) -> bool:
    (event,) = decode_record(waiting.raw)[0].events
    return getattr(event, "prediction_id", None) is None


def _home(stored: ledger.Stored, key: bytes, by_join: bool) -> int | None:
    """Where intake will find the request that this key means; None while there is none."""
    meant = [key]
    if by_join:
        is_own = stored.groups.get(key, key) == key
        meant = stored.members.get(key, []) + ([key] if is_own else [])
    return next((row.partition for k in meant for row in stored.answers.get(k, ())), None)


def _taken(connection: Connection, waiting: Orphan) -> bool:
    """The orphan is ours; False when intake adopted it meanwhile."""
    deleted = connection.execute(
        delete(orphan).where(
            _at.day == waiting.day, _at.pid16 == waiting.pid16,
            _at.model_no == waiting.model_no, _at.source_no == waiting.source_no,
            _at.label_id8 == waiting.label_id8,
        )
    )  # fmt: skip
    return deleted.rowcount == 1


def _message(waiting: Orphan, partition: int) -> outbox.Message:
    place = f"{waiting.partition}/{waiting.log_offset}/{waiting.idx}"
    return outbox.Message(
        message_id=f"found/{waiting.seen_ms}/{place}",
        topic=EVENTS.name,
        key=str(partition),
        partition=partition,
        body=pack([waiting.raw], appended_ms=waiting.appended_ms, hops=waiting.hops + 1),
    )
