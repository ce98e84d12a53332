"""Prediction ids (UUIDv7) and the lot that each carries.

A lot is a number from 0 to 65,535 that decides who goes first when memory runs out. It is a hash
of the unit and it is written into the id, so that whoever knows only the id (a label, weeks
later, in another process) draws the same lot as the answers of that unit did.
"""

import os
import time
from hashlib import blake2b
from threading import RLock

LOTS = 1 << 16
_UUID_LENGTH = 36


class Ids:
    """Makes UUIDv7s (RFC 9562) that only grow within this process."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._last_tick = 0

    def new(self, unit_id: str | None = None) -> str:
        """An id of this millisecond that carries the lot of `unit_id`, or a random one."""
        noise = int.from_bytes(os.urandom(10), "big")
        lot = noise >> 64 if unit_id is None else _hashed(unit_id)
        # A tick is 48 bits of milliseconds and 12 bits of counter: one more than the last when
        # the clock stands still or steps back, and a full counter carries into the milliseconds.
        tick = (time.time_ns() // 1_000_000) << 12 | (noise & 0x7FF)
        with self._lock:
            self._last_tick = tick = max(tick, self._last_tick + 1)
        ms = tick >> 12
        return (
            f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{tick & 0xFFF:03x}"
            f"-{0x8000 | noise >> 43 & 0x3FFF:04x}-{lot:04x}{noise >> 11 & 0xFFFFFFFF:08x}"
        )


def lot_of(key: str) -> int:
    """The lot of an id or of a unit: read from a UUIDv7, else hashed."""
    if _is_uuid7(key):
        try:
            return int(key[24:28], 16)
        except ValueError:  # looks like one, but is not hexadecimal
            return _hashed(key)
    return _hashed(key)


def minute_of(prediction_id: str, *, now_ms: int) -> int:
    """When the minute of the request began, ms UTC: that of its UUIDv7, or now for foreign ids."""
    if _is_uuid7(prediction_id):
        try:
            now_ms = int(prediction_id[:8] + prediction_id[9:13], 16)
        except ValueError:  # looks like one, but is not hexadecimal
            return now_ms - now_ms % 60_000
    return now_ms - now_ms % 60_000


def _is_uuid7(key: str) -> bool:
    return len(key) == _UUID_LENGTH and key[14] == "7" and key[8] == key[13] == key[23] == "-"


def _hashed(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=2).digest(), "big")
