"""Answers to requests that changed something, kept for who asks again with the same key.

The row stands in the transaction of the change. So whoever heard no answer, be it that the line
or the server broke, asks again and gets the one that there was, or the change is made now.
"""

from sqlalchemy import Connection, delete, select, update

from streams.db import bulk
from streams.errors import InputError
from streams.tables import kept_answer

KEPT_MS = 24 * 3_600_000

_at = kept_answer.c


def claim(connection: Connection, *, asker: str, key: str, asked: str, now_ms: int) -> bytes | None:
    """The answer that this key had; None when it is new, and then `keep` ends the transaction.

    Another transaction with the same key is waited for. Keys that have run out are gone.

    Args:
        asker: whose keys these are.
        asked: digest of the request, since one key stands for one request.
        now_ms: wall time.

    Raises InputError for a key that stood for another request.
    """
    connection.execute(delete(kept_answer).where(_at.expires_ms <= now_ms))
    row = {
        "asker": asker, "key": key, "asked": asked, "body": b"", "expires_ms": now_ms + KEPT_MS,
    }  # fmt: skip
    if bulk.added(connection, kept_answer, row):
        return None
    found = connection.execute(
        select(_at.asked, _at.body).where(_at.asker == asker, _at.key == key)
    ).one()
    if found.asked != asked:
        raise InputError(
            f"the key {key[:40]!r} stood for another request",
            field="Idempotency-Key",
            rule="one key, one request",
            fix="a new key for each request; the same only to send one again",
        )
    return bytes(found.body)


def keep(connection: Connection, *, asker: str, key: str, body: bytes) -> None:
    """The claimed key has this answer once the transaction commits."""
    mine = (_at.asker == asker) & (_at.key == key)
    connection.execute(update(kept_answer).where(mine).values(body=body))
