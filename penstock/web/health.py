"""Whether this process lives and whether it can do its job; two different questions.

Live means that its own loop moves: an orchestrator restarts what is not live, so nothing else
may make it false. Ready means that it can take events; each check says why not.
"""

from collections.abc import Callable, Mapping

import msgspec
from fastapi import FastAPI, Response
from starlette.concurrency import run_in_threadpool

from penstock.web.watch import Watch
from streams.errors import Error

Check = Callable[[], str]
"""Why this part of the job cannot be done now, or an empty string. May block; may raise Error."""


def install(app: FastAPI, watch: Watch, checks: Mapping[str, Check]) -> None:
    """`/healthz` and `/readyz` answer; `checks` join those of the log, the disk and the results."""

    @app.get("/healthz", include_in_schema=False)
    async def live() -> Response:
        return _answer(200, {"status": "live"})

    @app.get("/readyz", include_in_schema=False)
    async def ready() -> Response:
        found = {**_seen(watch), **await run_in_threadpool(_run, checks)}
        faults = any(found.values())
        body = {
            "status": "not ready" if faults else "ready",
            "checks": {name: fault or "ok" for name, fault in found.items()},
        }
        return _answer(503 if faults else 200, body)


def _seen(watch: Watch) -> dict[str, str]:
    refusal = watch.refusal()
    is_disk = refusal is not None and refusal.slug == "disk-full"
    return {
        "log": watch.seen.log_fault,
        "disk": refusal.detail if refusal is not None and is_disk else "",
        "results": watch.seen.database_fault,
    }


def _run(checks: Mapping[str, Check]) -> dict[str, str]:
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check()
        except Error as error:
            found[name] = error.message
    return found


def _answer(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
