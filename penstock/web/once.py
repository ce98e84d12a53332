"""Commands that are safe to send again: each has a key, and one answer stands under it.

The answer is in the transaction of what was done; so the same key gives it again, after a crash
too, and nothing is done twice.
"""

import hashlib
from typing import Any

import msgspec
from fastapi import Request
from msgspec import Struct
from sqlalchemy import Connection

from penstock.web.problems import Problem
from streams import repeats
from streams.db.clock import Clock
from streams.errors import InputError
from streams.keys import Principal

LONGEST_KEY = 200


class Once(Struct, frozen=True):
    """A command of somebody: its Idempotency-Key, and the digest of what was asked."""

    asker: str
    key: str
    asked: str

    def before(self, connection: Connection, *, clock: Clock) -> bytes | None:
        """What this key was answered before; None when it is new, and then `keep` ends it.

        Raises Problem for a key that stood for another request.
        """
        try:
            return repeats.claim(
                connection, asker=self.asker, key=self.key, asked=self.asked,
                now_ms=clock.wall_ms(),
            )  # fmt: skip
        except InputError as error:
            raise Problem("key-reused", error.message) from error

    def keep(self, connection: Connection, body: bytes) -> None:
        """The key has this answer once the transaction commits."""
        repeats.keep(connection, asker=self.asker, key=self.key, body=body)


def once(request: Request, who: Principal, asked: Any) -> Once:
    """The command that `request` is. Raises Problem where it has no key."""
    key = request.headers.get("idempotency-key", "")
    if not (1 <= len(key) <= LONGEST_KEY and key.isprintable()):
        raise Problem("idempotency-key-required")
    return Once(who.key_id or "", key, hashlib.sha256(msgspec.json.encode(asked)).hexdigest())
