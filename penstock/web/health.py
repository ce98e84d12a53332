"""`/healthz` and `/readyz` of web: it is ready when it can take events."""

from collections.abc import Mapping

import msgspec
from fastapi import FastAPI, Response
from starlette.concurrency import run_in_threadpool

from penstock.ops import health
from penstock.ops.health import Check
from penstock.web.watch import Watch


def install(app: FastAPI, watch: Watch, checks: Mapping[str, Check]) -> None:
    """`/healthz` and `/readyz` answer; `checks` join those of the log, the disk and the results."""

    @app.get("/healthz", include_in_schema=False)
    async def live() -> Response:
        return _answer(200, {"status": "live"})

    @app.get("/readyz", include_in_schema=False)
    async def ready() -> Response:
        found = await run_in_threadpool(health.run, checks)
        return _answer(*health.readiness({**_seen(watch), **found}))


def _seen(watch: Watch) -> dict[str, str]:
    refusal = watch.refusal()
    is_disk = refusal is not None and refusal.slug == "disk-full"
    return {
        "log": watch.seen.log_fault,
        "disk": refusal.detail if refusal is not None and is_disk else "",
        "results": watch.seen.database_fault,
    }


def _answer(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
