"""`GET /v1/pipe`: how events flow through this installation now."""

import msgspec
from fastapi import FastAPI, Request, Response

from penstock.web import auth
from penstock.web.metrics import Metrics
from penstock.web.watch import Watch
from streams.keys import KeyRing


class Pipe(msgspec.Struct, frozen=True):
    """What this process took since it started, and how intake stood at the last look."""

    accepted: int
    rejected: int
    counted: int  # events that intake has counted, ever
    dead_letters: int  # that it has written, ever
    lag_records: dict[str, int]  # by partition
    backlog_bytes: int  # about
    taking: bool
    why_not: str


def install(app: FastAPI, keys: KeyRing, metrics: Metrics, watch: Watch) -> None:
    """`GET /v1/pipe` answers, to this machine without a key."""

    @app.get("/v1/pipe", summary="How events flow", tags=["events"])
    async def pipe(request: Request) -> Response:
        await auth.reader(request, keys)
        refusal = watch.refusal()
        answer = Pipe(
            accepted=metrics.accepted_count,
            rejected=metrics.rejected_count,
            counted=watch.seen.counted,
            dead_letters=watch.seen.dead,
            lag_records={str(p): n for p, n in sorted(watch.seen.lag.items())},
            backlog_bytes=watch.backlog_bytes(),
            taking=refusal is None,
            why_not="" if refusal is None else refusal.detail,
        )
        return Response(msgspec.json.encode(answer), media_type="application/json")
