"""What reaches Penstock by plain HTTP, as any language could send it.

Two senders do without the client: the service after a crash, for answers that may have been lost
with it, and a stranger whose script was never tested.
"""

import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.demo import script
from penstock.demo.journal import Answer, Served
from penstock.demo.script import Request

TIMEOUT_S = 5.0
RETRY_S = 0.5
CHUNK = 200
_READ_AND_REFUSED = 400

TIMED_OUT = ("TimeoutError", "no image within 50 ms")

BROKEN = (
    '{"type": "io.penstock.prediction.v1", "model": "digits", "version": "v1",'
    ' "prediction_id": "stranger-%d", "time": 1, "output": {"label": "3", "score": 1.7}}',
    '{"type": "io.penstock.prediction.v1", "version": "v1",'
    ' "prediction_id": "stranger-%d", "time": 1, "output": {"label": "3"}}',
    '{"type": "io.penstock.prediction.v2", "model": "digits", "prediction_id": "stranger-%d"}',
    '{"type": "io.penstock.label.v1", "model": "digits", "label_id": "stranger-%d',
    '{"type": "io.penstock.label.v1", "model": "digits", "label_id": "stranger-%d",'
    ' "source": "outcome", "time": "2026-11-21 08:15", "prediction_id": "p", "label": "3"}',
    '{"type": "io.penstock.prediction.v1", "model": "digits", "version": "v1",'
    ' "prediction_id": "stranger-%d", "time": 1}',
)
"""Each breaks another rule; the number tells them apart, so that one sent twice counts once."""


def broken(n: int) -> bytes:
    """The stranger's event that comes with request `n`."""
    return (BROKEN[n // (script.BLOCK * script.STRANGE_BLOCKS) % len(BROKEN)] % n).encode()


def answers(served: Served, request: Request, features: dict[str, float]) -> list[bytes]:
    """All answers to a request as events."""
    common: dict[str, Any] = {
        "type": "io.penstock.prediction.v1",
        "model": script.MODEL,
        "prediction_id": served.prediction_id,
        "time": served.time_ms,
        "route": script.ROUTE,
        "arm": served.arm,
        "unit_id": request.unit,
        "tags": {"shift": request.shift},
    }
    if served.route_version is not None:
        common["route_version"] = served.route_version
    live, *shadows = served.answers
    events = [{"role": "live", "features": features, **_said(live)}]
    events += [{"role": "shadow", **_said(shadow)} for shadow in shadows]
    return [msgspec.json.encode(common | event) for event in events]


def _said(answer: Answer) -> dict[str, Any]:
    if answer.label is None:
        failure = dict(zip(("type", "message"), TIMED_OUT, strict=True))
        return {"version": answer.version, "error": failure}
    return {
        "version": answer.version, "output": {"label": answer.label, "score": answer.score}
    }  # fmt: skip


def deliver(url: str, lines: Sequence[bytes], stop: threading.Event) -> bool:
    """The server has read every line, whatever it thinks of it; False when told to stop first."""
    for start in range(0, len(lines), CHUNK):
        while not _posted(url, b"\n".join(lines[start : start + CHUNK])):
            if stop.wait(RETRY_S):
                return False
    return True


def _posted(url: str, body: bytes) -> bool:
    request = urllib.request.Request(  # noqa: S310 - our own http
        f"{url}/v1/events", body, {"Content-Type": "application/x-ndjson"}
    )
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()  # noqa: S310 - our own http
    except urllib.error.HTTPError as error:
        error.close()
        return error.code == _READ_AND_REFUSED
    except OSError:
        return False
    return True
