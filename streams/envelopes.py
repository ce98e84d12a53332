"""Envelopes: many events of one partition in one log record.

An envelope is JSON Lines: a header line, then one plain event a line. Raw newlines inside an
event can only stand outside its strings, so they become spaces. Duplicates are found by the
events' own keys; the header serves tracing and forwarding.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from streams.errors import InputError
from streams.events import LAST_TIME_MS, Key

MAGIC = b'{"penstock":'
FORMAT = 1


class Header(msgspec.Struct, frozen=True, gc=False):
    """The first line of an envelope.

    On Kafka whoever may write to the topic may write it, so it can claim little: a key's id for
    the trace, and a time before the record's own.
    """

    penstock: int = FORMAT
    key: Key | None = None  # id of the API key that sent every event in it
    count: Annotated[int, Meta(ge=0)] = 0
    # Kept when an event is forwarded; else the record's own.
    appended_ms: Annotated[int, Meta(ge=0, le=LAST_TIME_MS)] | None = None
    # How often it was sent to another partition.
    hops: Annotated[int, Meta(ge=0, le=1_000)] = 0


_header = msgspec.json.Decoder(Header)
_encoder = msgspec.json.Encoder()
NOTHING = _encoder.encode(Header())  # an envelope without events


def pack(
    lines: Iterable[bytes],
    *,
    key: str | None = None,
    appended_ms: int | None = None,
    hops: int = 0,
) -> bytes:
    """One envelope of `lines`, each a plain JSON event without raw newlines."""
    body = list(lines)
    header = Header(key=key, count=len(body), appended_ms=appended_ms, hops=hops)
    return b"\n".join((_encoder.encode(header), *body))


def unpack(value: bytes) -> tuple[Header, list[bytes]]:
    """The header and the event lines; raises InputError when the header cannot be read."""
    first, *lines = value.split(b"\n")
    try:
        header = _header.decode(first)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"the header of the envelope is not readable: {error}", rule="malformed_json"
        ) from error
    if header.penstock != FORMAT:
        raise InputError(
            f"the envelope has format {header.penstock}, this release reads {FORMAT}",
            field="penstock",
            rule="unknown_format",
        )
    return header, lines


def one_line(event: bytes) -> bytes:
    """`event` without raw newlines; the same JSON value."""
    event = event.strip()
    if b"\n" in event or b"\r" in event:
        return event.replace(b"\r", b" ").replace(b"\n", b" ")
    return event
