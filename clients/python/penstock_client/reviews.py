"""Waiting for a person to confirm a proposed answer: the one thing in here that takes its time.

Each call has a connection of its own, and asks until the review is closed or its time is over,
whatever the server does meanwhile: it may be away, and come back.
"""

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from .http_server import HttpServer
from .notices import Notices

if TYPE_CHECKING:  # not a cycle: at run time it is imported by the first request
    from collections.abc import Callable
    from http.client import HTTPConnection

_WAIT_S = 5.0  # how long the server may hold a poll: a client that closes waits no longer
_ANSWER_S = 5.0  # a server that takes longer past that is away
_LEAST_S = 0.05  # of a time-out of the socket
_PAUSE_S = (0.25, 1.0)  # after a failure, doubling; a service waits, so it stays short
_ANSWER_BYTES = 1024 * 1024
_CLOSED = frozenset({"confirmed", "refused", "timed-out", "withdrawn"})

NOT_NEEDED = "not-needed"
AWAY = "away"


class Review(msgspec.Struct, frozen=True):
    """What became of a proposed answer, and whose answer to act on.

    Attributes:
        state: `confirmed`; `refused`; `timed-out`, when nobody answered in time; `withdrawn`, when
            the rollout went back; `away`, when no server said any of these in the time that there
            was; `not-needed`, when nobody had to be asked.
        version: the version whose answer counts: the assigned one, or the champion.
        by, reason, label: who answered, why, and what would have been right, as far as was said.
    """

    state: str
    version: str
    by: str | None = None
    reason: str | None = None
    label: str | None = None

    @property
    def confirmed(self) -> bool:
        """Whether to act on the answer that was proposed."""
        return self.state in ("confirmed", NOT_NEEDED)


class _Told(msgspec.Struct):
    state: str
    by: str | None = None
    reason: str | None = None
    label: str | None = None


class Reviews:
    """Asks one server what became of proposed answers of one model; shared between threads."""

    def __init__(
        self,
        server: HttpServer | None,
        model: str,
        notices: Notices,
        *,
        closed: "Callable[[], bool]",
    ) -> None:
        self._server = server
        self._model = model
        self._notices = notices
        self._closed = closed

    def wait(self, prediction_id: str, *, proposed: str, champion: str, timeout_s: float) -> Review:
        """What became of the answer of version `proposed`, within `timeout_s`; never raises."""
        told = None
        if self._server is not None:
            call = _Call(self._server, self._model, prediction_id, timeout_s)
            try:
                told = self._asked(call)
            finally:
                call.hang_up()
        if told is None:
            return Review(AWAY, champion)
        version = proposed if told.state == "confirmed" else champion
        return Review(told.state, version, told.by, told.reason, told.label)

    def _asked(self, call: "_Call") -> _Told | None:
        failures = 0
        while (left_s := call.left_s) > 0 and not self._closed():
            began_s = time.monotonic()
            try:
                told = call.ask(min(_WAIT_S, left_s))
            except Exception as error:  # whatever it was: it may be gone at the next try
                call.hang_up()
                self._notices.note("review", f"{type(error).__name__}: {error}"[:300])
                failures += 1
                pause_s = min(_PAUSE_S[0] * 2 ** (failures - 1), _PAUSE_S[1])
            else:
                if told is not None and told.state in _CLOSED:
                    return told
                failures = 0
                pause_s = _PAUSE_S[0] - (time.monotonic() - began_s)
            if pause_s > 0:
                jittered_s = pause_s * (1 + os.urandom(1)[0] / 510)
                time.sleep(max(0.0, min(jittered_s, call.left_s)))
        return None


class _Call:
    """One wait: its connection, and how much of its time is left."""

    def __init__(
        self, server: HttpServer, model: str, prediction_id: str, timeout_s: float
    ) -> None:
        self._server = server
        self._path = (
            f"{server.base}/v1/reviews/of/{quote(model, safe='')}"
            f"?prediction_id={quote(prediction_id, safe='')}&wait="
        )
        self._ends_s = time.monotonic() + timeout_s
        self._connection: HTTPConnection | None = None

    @property
    def left_s(self) -> float:
        return self._ends_s - time.monotonic()

    def ask(self, wait_s: float) -> _Told | None:
        """What the server says; None while it knows of no such review."""
        if self._connection is None:
            self._connection = self._server.connect(_LEAST_S)
        patience_s = max(_LEAST_S, min(wait_s + _ANSWER_S, self.left_s))
        self._connection.timeout = patience_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(patience_s)
        self._connection.request("GET", f"{self._path}{wait_s:.3f}", headers=self._server.headers)
        answer = self._connection.getresponse()
        body = answer.read(_ANSWER_BYTES)
        if answer.will_close or not answer.isclosed():
            self.hang_up()
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise ConnectionError(f"the server answered {answer.status}")
        return msgspec.json.decode(body, type=_Told)

    def hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()
