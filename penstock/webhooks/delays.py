"""When a delivery that was not taken is tried again: ten times within about two days."""

import hashlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MINUTE_S, HOUR_S = 60, 3600
DELAYS_S = (
    5, MINUTE_S, 5 * MINUTE_S, 30 * MINUTE_S, 2 * HOUR_S, 5 * HOUR_S, 10 * HOUR_S, 14 * HOUR_S,
    16 * HOUR_S,
)  # fmt: skip
"""After the first attempt, the second, and so on; after the last there is none."""

SPREAD = 0.1
"""A delay is longer by up to this share, so that what failed together does not return together."""

LONGEST_ASKED_S = 24 * HOUR_S
"""A receiver that asks for more time than this gets this."""


def next_ms(attempts: int, *, now_ms: int, message_id: str, retry_after: str = "") -> int | None:
    """When the next attempt is due; None: every one was made.

    Args:
        attempts: how many were made, at least one.
        message_id: what the spread is drawn from.
        retry_after: what the receiver asked for, in seconds or as a date of HTTP; never sooner
            than our own delay.
    """
    if attempts > len(DELAYS_S):
        return None
    draw = hashlib.blake2b(f"{message_id} {attempts}".encode(), digest_size=8).digest()
    share = int.from_bytes(draw) / 2**64
    own_s = DELAYS_S[attempts - 1] * (1 + SPREAD * share)
    return now_ms + int(1000 * max(own_s, min(_asked_s(retry_after, now_ms), LONGEST_ASKED_S)))


def _asked_s(retry_after: str, now_ms: int) -> float:
    """Seconds from now; 0 for what cannot be read."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        asked = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if asked.tzinfo is None:
        asked = asked.replace(tzinfo=UTC)
    return (asked - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds()
