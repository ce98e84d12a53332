"""A running Penstock as a target for lines of events, over HTTP."""

import random
import threading
import time
from collections.abc import Callable

import httpx
import msgspec

from streams.errors import Error, NotAllowedError, UnavailableError

PATH = "/v1/events"
RETRIED = frozenset((429, 502, 503, 504))
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
GIVE_UP_S = 300.0
"""How long a server that was there may be away before sending ends."""


class _Rejected(msgspec.Struct):
    index: int
    code: str
    field: str = ""
    detail: str = ""


class _Answer(msgspec.Struct):
    rejected: list[_Rejected] = []


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""
    fix: str = ""
    errors: list[_Rejected] = []


class Server:
    """Ingest at `url`. Safe between threads; close it when done.

    A server that is busy or away is asked again, as long as it says or ever more slowly; `say`
    hears of it once each time it begins.
    """

    def __init__(self, url: str, *, key: str | None, say: Callable[[str], None]) -> None:
        headers = {"Content-Type": "application/x-ndjson"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._url = url.rstrip("/")
        self._client = httpx.Client(headers=headers, timeout=httpx.Timeout(60.0, connect=5.0))
        self._say = say
        self._hurried = threading.Event()

    def check(self) -> None:
        """Raises UnavailableError when nobody answers at the address."""
        try:
            self._client.get(f"{self._url}/healthz").raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                f"no Penstock answers at {self._url}",
                why=str(error),
                fix="start it with `penstock up`, or name another with --server",
            ) from error

    def post(self, lines: list[bytes]) -> list[tuple[int, str, str, str]]:
        """As `Target.post`; raises NotAllowedError for a wrong key."""
        answer = self._asked(
            b"".join(line if line[-1:] == b"\n" else line + b"\n" for line in lines)
        )
        if answer.status_code == 202:
            return _told(msgspec.json.decode(answer.content, type=_Answer).rejected)
        problem = _problem(answer)
        if answer.status_code == 413 and len(lines) > 1:
            cut = len(lines) // 2
            first, rest = self.post(lines[:cut]), self.post(lines[cut:])
            return first + [(k + cut, code, field, detail) for k, code, field, detail in rest]
        if answer.status_code in (400, 413):
            # Not one line could be read; the answer shows the first few.
            known = {rejected.index: rejected for rejected in problem.errors}
            unknown = [
                _Rejected(k, "malformed_json", "", problem.detail) for k in range(len(lines))
            ]
            return _told([known.get(k, unknown[k]) for k in range(len(lines))])
        raise _refused(answer.status_code, problem)

    def hurry(self) -> None:
        """A server that is away is no longer waited for."""
        self._hurried.set()

    def close(self) -> None:
        self._client.close()

    def _asked(self, body: bytes) -> httpx.Response:
        wait_s, since_s = FIRST_WAIT_S, time.monotonic()
        while True:
            try:
                answer = self._client.post(f"{self._url}{PATH}", content=body)
                why = _problem(answer).detail if answer.status_code in RETRIED else ""
            except httpx.TransportError as error:
                answer, why = None, f"{type(error).__name__}: {error}"
            if answer is not None and answer.status_code not in RETRIED:
                return answer
            asked_s = 0.0 if answer is None else _retry_after_s(answer)
            pause_s = asked_s or wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            if time.monotonic() + pause_s - since_s > GIVE_UP_S or self._hurried.is_set():
                raise UnavailableError(
                    f"{self._url} takes no events", why=why, fix="send again when it does"
                )
            if wait_s == FIRST_WAIT_S:
                self._say(f"{self._url} takes no events now ({why}); waiting")
            self._hurried.wait(pause_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _told(rejected: list[_Rejected]) -> list[tuple[int, str, str, str]]:
    return [(r.index, r.code, r.field, r.detail) for r in rejected]


def _problem(answer: httpx.Response) -> _Problem:
    try:
        return msgspec.json.decode(answer.content, type=_Problem)
    except msgspec.DecodeError:
        return _Problem(detail=f"HTTP status {answer.status_code}")


def _retry_after_s(answer: httpx.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), LONGEST_WAIT_S) if text.isdigit() else 0.0


def _refused(status: int, problem: _Problem) -> Error:
    kind = NotAllowedError if status in (401, 403) else Error
    return kind(problem.title or f"HTTP status {status}", why=problem.detail, fix=problem.fix)
