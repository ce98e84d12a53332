"""Once a day, where the chains of decisions stand: told to whoever keeps the topic `decisions`."""

from sqlalchemy import Connection

from rollout import store
from streams import installation, messages, outbox
from streams.messages import ChainHeads
from streams.models import DAY_MS
from streams.topics import DECISIONS


def publish(connection: Connection, *, now_ms: int, wall_ms: int) -> bool:
    """The heads of today are on their way; False when they were before, or nothing was decided.

    Args:
        now_ms: domain time, whose days count (UTC).
        wall_ms: stamps the outbox.
    """
    day = now_ms // DAY_MS
    heads = store.heads(connection)
    if not heads or installation.last_heads(connection) >= day:
        return False
    told = ChainHeads(id=f"heads/{day}", at_ms=now_ms, heads=heads)
    letter = outbox.Message(told.id, DECISIONS.name, "heads", messages.encode(told))
    outbox.put(connection, [letter], now_ms=wall_ms)
    installation.keep_heads(connection, day)
    return True
