"""Envelopes: many events of one partition in one log record.

An envelope is JSON Lines: a header line, then one plain event a line. Raw newlines inside an
event can only stand outside its strings, so they become spaces. Duplicates are found by the
events' own keys; the header serves tracing and forwarding.
"""

from collections.abc import Iterable

import msgspec

from streams.errors import InputError

MAGIC = b'{"penstock":'
FORMAT = 1


class Header(msgspec.Struct, frozen=True, gc=False):
    """The first line of an envelope."""

    penstock: int = FORMAT
    key: str | None = None  # id of the API key that sent every event in it
    count: int = 0
    appended_ms: int | None = None  # kept when an event is forwarded; else the record's own
    hops: int = 0  # how often it was sent to another partition


_header = msgspec.json.Decoder(Header)
_encoder = msgspec.json.Encoder()


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
