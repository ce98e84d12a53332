"""Reading a request's body: bounded in bytes, in time and in what it unpacks to."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from penstock.web.problems import Problem

UNPACKED_TIMES = 4  # a body may unpack to this many times what it may have on the wire
BODY_S = 30.0
DISCARDED_TIMES = 8  # of a body that is too large, read this much so that the client hears why
BUFFERED_BYTES = 128 << 20
_JSON_TYPES = frozenset((
    "application/json", "application/x-ndjson", "application/ndjson", "application/jsonl",
    "application/x-jsonlines", "application/cloudevents+json",
    "application/cloudevents-batch+json",
))  # fmt: skip
MAX_MEMBERS = 64  # gzip members in one body; each costs a copy of the rest
_GZIP_WINDOW = 31  # zlib: expect a gzip header


class Reader:
    """Holds bodies; all that are held together take at most BUFFERED_BYTES."""

    def __init__(self, body_bytes: int) -> None:
        self._limit = body_bytes
        self._buffered = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it was sent; raises Problem when it is too large or too slow."""
        declared = request.headers.get("content-length", "")
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_S):
                stream = request.stream()
                if declared.isdecimal() and int(declared) > self._limit:
                    await self._discard(stream, 0)
                    raise self._too_large(f"{declared} bytes")
                async for chunk in stream:
                    size += len(chunk)
                    self._buffered += len(chunk)
                    chunks.append(chunk)
                    if size > self._limit:
                        await self._discard(stream, size)
                        raise self._too_large(f"more than {self._limit} bytes")
                    if self._buffered > BUFFERED_BYTES:
                        raise Problem("too-busy", retry_after_s=1)
            whole = b"".join(chunks)
            chunks.clear()
            yield whole
        finally:
            self._buffered -= size

    def _too_large(self, size: str) -> Problem:
        return Problem("body-too-large", f"the body has {size}; at most {self._limit} are taken")

    async def _discard(self, stream: AsyncIterator[bytes], size: int) -> None:
        """A client hears an answer only once it has sent its body: read on, and keep nothing."""
        async for chunk in stream:
            size += len(chunk)
            if size > DISCARDED_TIMES * self._limit:
                return


def check_type(request: Request) -> None:
    """The Content-Type is one that holds events; none at all counts as JSON."""
    given = request.headers.get("content-type", "").lower()
    media_type, _, rest = given.partition(";")
    if media_type.strip() and media_type.strip() not in _JSON_TYPES:
        raise Problem("unsupported-type", f"{media_type.strip()[:80]!r} is not taken")
    charset = rest.partition("charset=")[2].partition(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise Problem(
            "unsupported-type", f"charset {charset[:40]!r} is not taken; events are UTF-8"
        )


def is_gzip(request: Request) -> bool:
    """Whether the body is compressed; raises Problem for an encoding that is not taken."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise Problem("unsupported-encoding", f"{encoding[:40]!r} is not taken")
    return encoding.endswith("gzip")


def unzipped(body: bytes, limit: int) -> bytes:
    """What the gzip members of `body` hold, never more than `limit` bytes in memory."""
    parts: list[bytes] = []
    left = limit
    while body:
        if len(parts) == MAX_MEMBERS:
            raise Problem("bad-gzip", f"more than {MAX_MEMBERS} gzip members")
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            part = member.decompress(body, left + 1)
        except zlib.error as error:
            raise Problem("bad-gzip", f"damaged: {error}") from error
        left -= len(part)
        if left < 0:
            raise Problem("body-too-large", f"unpacked, the body has more than {limit} bytes")
        if not member.eof:
            raise Problem("bad-gzip", "the gzip stream is cut short")
        parts.append(part)
        body = member.unused_data
    return b"".join(parts)
