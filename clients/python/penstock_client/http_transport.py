"""One request to the server, and what its answer means for the lines in it.

The standard library's HTTP is imported by the first request, not with the package; a request
costs 0.1 ms of the service's interpreter, where httpx takes 0.4.
"""

import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from .http_server import HttpServer, retry_after_s
from .transport import Fate, Rejected, Reply

if TYPE_CHECKING:  # not a cycle: at run time it is imported by the first request
    from http.client import HTTPConnection, HTTPResponse

_ANSWER_BYTES = 1024 * 1024
_PLAIN_BYTES = 1024  # below this, compressing costs more than it saves
_LATER = frozenset({429, 502, 503, 504})
_DENIED = frozenset({401, 403, 404, 405, 407})


class _Body(msgspec.Struct):
    accepted: int
    duplicate: int = 0
    rejected: tuple[Rejected, ...] = ()


class HttpTransport:
    """One connection to one server, opened when it is needed; used by one thread at a time."""

    def __init__(self, url: str, *, key: str | None, timeout_s: float, ca_file: str | None) -> None:
        self._server = HttpServer(url, key=key, ca_file=ca_file)
        self._path = self._server.base + "/v1/events"
        self._timeout_s = timeout_s
        self._headers = {"Content-Type": "application/x-ndjson"} | self._server.headers
        self._connection: HTTPConnection | None = None

    def post(self, lines: list[bytes]) -> Reply:
        """The lines were sent in one request, or the reply says why they were not."""
        body = b"\n".join(lines)
        headers = dict(self._headers)
        if len(body) > _PLAIN_BYTES:
            squeezer = zlib.compressobj(1, zlib.DEFLATED, 31)  # 31: with a gzip header
            body = squeezer.compress(body) + squeezer.flush()
            headers["Content-Encoding"] = "gzip"
        fresh = self._connection is None
        reply = self._try(body, headers)
        if reply.code == "disconnected" and not fresh:
            # The server had closed an idle connection, which says nothing about the server.
            reply = self._try(body, headers)
        return reply

    def close(self) -> None:
        """The connection is gone; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """In a forked child: the socket is the parent's; our descriptor of it is closed."""
        if self._connection is not None and self._connection.sock is not None:
            # Not socket.close: a reader's lock may be held by a thread that does not exist here.
            with suppress(OSError):  # the parent was just closing it
                os.close(self._connection.sock.detach())

    def _try(self, body: bytes, headers: dict[str, str]) -> Reply:
        try:
            if self._connection is None:
                self._connection = self._server.connect(self._timeout_s)
            self._connection.request("POST", self._path, body=body, headers=headers)
            answer = self._connection.getresponse()
            content = answer.read(_ANSWER_BYTES)
            if answer.will_close or not answer.isclosed():
                self.close()
            return _understood(answer, content)
        except (ConnectionResetError, BrokenPipeError):  # a closed idle connection is one of them
            self.close()
            return Reply(Fate.LATER, "disconnected")
        except Exception as error:  # whatever it was, the lines were not taken
            self.close()
            return Reply(Fate.LATER, type(error).__name__)


def _understood(answer: "HTTPResponse", content: bytes) -> Reply:
    status = answer.status
    if status == 202:
        try:
            body = msgspec.json.decode(content, type=_Body)
        except msgspec.DecodeError:
            # Someone else answered for the server: nothing is known to be written.
            return Reply(Fate.LATER, "unreadable answer")
        return Reply(Fate.SETTLED, "202", body.accepted, body.duplicate, body.rejected)
    if status in _LATER:
        return Reply(Fate.LATER, str(status), wait_s=retry_after_s(answer.getheader("Retry-After")))
    if status in _DENIED or status < 400:
        return Reply(Fate.DENIED, str(status))
    return Reply(Fate.REFUSED, str(status))
