"""The route table that decides now, kept fresh by a thread of its own.

The thread asks the server for another table than the one we have, and the server answers when
there is one. Requests only look at what came last: they never wait for it.
"""

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from .bell import Bell
from .http_server import HttpServer, date_s, retry_after_s
from .limits import Limits
from .notices import Notices
from .reader import ReaderName
from .route_cache import Cached, RouteCache
from .standby import Standby
from .table import Arm, Table, read

if TYPE_CHECKING:  # not a cycle: at run time it is imported by the first request
    from http.client import HTTPConnection, HTTPResponse

_WAIT_S = 25.0  # how long the server may hold a poll
_SPACED_S = 1.0  # between the starts of two polls, at least
_CALM_S = 10.0  # after a poll that the server did not hold
_AWAY_S = 10.0  # after failures, at most: a rollback waits until the table is heard
_LONGEST_LIFE_S = 86_400.0  # whatever the server says, and whatever its clock
_SKEW_MS = 60_000  # a table of the future by more was kept under another clock
_ANSWER_BYTES = 1024 * 1024
_DENIED = frozenset({401, 403, 405, 407})


class _Held(NamedTuple):
    """A table, and until when it decides by either clock of ours."""

    table: Table
    etag: str
    until_ms: float  # wall clock: a machine that slept knows that time has passed
    until_s: float  # monotonic: a wall clock that was set back does not bring a table back


class Routes:
    """What the server decided about one route of one model, or nothing."""

    def __init__(
        self,
        server: HttpServer | None,
        cache: RouteCache,
        reader: ReaderName,
        *,
        model: str,
        route: str,
        limits: Limits,
        notices: Notices,
    ) -> None:
        self._server = server
        self._cache = cache
        self._reader = reader
        self._model = model
        self._route = route
        self._limits = limits
        self._notices = notices
        self._held: _Held | None = None
        self._standby = Standby("penstock-routes", self._run, notices, over=lambda: self._closed)
        self._bell = Bell()
        self._closed = False
        self._connection: HTTPConnection | None = None
        self._failures = 0

    def remember(self, parents: "Routes | None" = None) -> None:
        """What an earlier process kept decides until it expires; or what a forked one knows."""
        if parents is not None and parents._held is not None:
            self._held = parents._held
        elif self._server is not None and (cached := self._cache.read()):
            now_ms = time.time() * 1000
            left_s = (cached.until_ms - now_ms) / 1000
            if cached.received_ms > now_ms + _SKEW_MS:
                left_s = 0.0
            with suppress(ValueError):
                table = read(cached.body, model=self._model, route=self._route)
                self._held = _held(table, cached.etag, left_s)

    def decide(
        self, unit_id: str | None, prediction_id: str, tags: tuple[tuple[str, str], ...]
    ) -> tuple[int, Arm] | None:
        """The route version and the arm of a request; None when no table is valid."""
        if self._server is None:
            return None
        if not self._standby.alive:
            self._standby.start()
        table = self.table
        return (
            None if table is None else (table.version, table.arm_of(unit_id, prediction_id, tags))
        )

    @property
    def table(self) -> Table | None:
        """The table that is valid now."""
        held = self._held
        if held is None or time.monotonic() >= held.until_s:
            return None
        return held.table if time.time() * 1000 < held.until_ms else None

    def close(self) -> None:
        """Nothing is asked any more; the table decides until it expires."""
        self._closed = True
        self._bell.strike()
        connection = self._connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            with suppress(OSError):  # the thread was just closing it
                sock.shutdown(2)

    def abandon(self) -> None:
        """In a forked child: there is no thread here, and socket and name are the parent's."""
        self._reader.release()
        if self._connection is not None and self._connection.sock is not None:
            with suppress(OSError):
                os.close(self._connection.sock.detach())

    def _run(self) -> None:
        while not self._closed:
            try:
                pause_s = self._poll()
            except Exception as error:  # the thread outlives every answer
                self._hang_up()
                pause_s = self._failed(f"{type(error).__name__}: {error}"[:300])
            if pause_s > 0 and not self._closed:
                self._bell.silence()
                if not self._closed:
                    self._bell.wait(pause_s)
        self._hang_up()
        self._reader.release()

    def _poll(self) -> float:
        """One answer of the server; returns how long to wait before the next is asked for."""
        began_s = time.monotonic()
        answer, body = self._ask()
        took_s = time.monotonic() - began_s
        status = answer.status
        if status == 200:
            self._failures = 0
            if self._take(body, answer.getheader("ETag", ""), answer.getheader("Date")):
                return _SPACED_S - took_s
            return _jittered(_CALM_S)
        if status in {304, 404}:  # the same table as before; none was ever published
            self._failures = 0
            return 0.0 if took_s > _WAIT_S / 2 else _jittered(_CALM_S)
        if status in _DENIED or status < 400:
            self._failed(str(status))
            return _jittered(self._limits.backoff_max_s)
        pause_s = self._failed(str(status))
        return max(pause_s, retry_after_s(answer.getheader("Retry-After")) or 0.0)

    def _ask(self) -> "tuple[HTTPResponse, bytes]":
        assert self._server is not None
        if self._connection is None:
            self._connection = self._server.connect(_WAIT_S + self._limits.timeout_s)
        path = (
            f"{self._server.base}/v1/routes/{quote(self._model, safe='')}"
            f"?route={quote(self._route, safe='')}&wait={_WAIT_S:g}"
        )
        known = {"Penstock-Reader": self._reader.claim()}
        if self._held is not None:
            known["If-None-Match"] = self._held.etag
        self._connection.request("GET", path, headers=self._server.headers | known)
        answer = self._connection.getresponse()
        body = answer.read(_ANSWER_BYTES)
        if answer.will_close or not answer.isclosed():
            self._hang_up()
        return answer, body

    def _take(self, body: bytes, etag: str, date: str | None) -> bool:
        """The table decides from now on, unless it is older than ours or none at all."""
        try:
            table = read(body, model=self._model, route=self._route)
        except ValueError as error:
            self._notices.note("route table not understood", str(error)[:300])
            return False
        if self._held is not None and table.rank < self._held.table.rank:
            self._notices.note("route table is older than ours", f"{table.rank}")
            return False
        # By the server's own clock, so that it does not matter what ours says.
        sent_s = date_s(date) or time.time()
        life_s = min(table.expires_at / 1000 - sent_s, _LONGEST_LIFE_S)
        changed = self._held is None or etag != self._held.etag
        self._held = held = _held(table, etag, life_s)
        try:
            now_ms = int(time.time() * 1000)
            self._cache.write(Cached(now_ms, int(held.until_ms), etag, body), table.rank)
        except OSError as error:
            self._notices.note("route table is kept in memory", str(error))
        return changed

    def _failed(self, why: str) -> float:
        if self._closed:  # our own doing
            return 0.0
        self._failures += 1
        self._notices.note("routes", why)
        wait_s = self._limits.backoff_min_s * 2 ** min(self._failures - 1, 16)
        return _jittered(min(wait_s, self._limits.backoff_max_s, _AWAY_S))

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _held(table: Table, etag: str, life_s: float) -> _Held:
    return _Held(
        table, etag, until_ms=(time.time() + life_s) * 1000, until_s=time.monotonic() + life_s
    )


def _jittered(wait_s: float) -> float:
    """Up to half as long again: services spread out."""
    return wait_s * (1 + os.urandom(1)[0] / 510)
