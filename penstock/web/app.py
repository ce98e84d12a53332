"""The web application, from its parts: nothing here is global, so a test can have many."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.installation import read_clock
from penstock.ops.health import Check
from penstock.rollouts import Store
from penstock.settings import Settings
from penstock.web import (
    decisions,
    health,
    ingest,
    metrics,
    models,
    ofrep,
    pipe,
    problems,
    reviews,
    rollouts,
    routes,
    specs,
    webhooks,
)
from penstock.web.auth import Door
from penstock.web.board import Board
from penstock.web.desk import Desk
from penstock.web.regroup import Regrouper
from penstock.web.watch import Watch
from penstock.webhooks import keeping
from streams.errors import Error
from streams.keys import KeyRing
from streams.logs.base import Log
from streams.logs.group_commit import GroupCommit
from streams.topics import EVENTS

CONSUMER = "intake"
DESCRIBED = (ingest, routes, ofrep, models, rollouts, specs, decisions, reviews, webhooks)
"""The parts with schemas of their own in `/openapi.json`."""

_log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app(
    *,
    settings: Settings,
    log: Log,
    commits: GroupCommit,
    engine: Engine,
    checks: Mapping[str, Check],
) -> FastAPI:
    """An app that takes events into `log`, through `commits`.

    Args:
        engine: the results, whose positions tell how far intake is behind and which hold the keys.
        checks: what must hold besides the log, the disk and the results to be ready, by name.
    """
    keys = KeyRing(engine)
    figures = metrics.Metrics()
    regrouper = Regrouper(commits, EVENTS.name)
    watch = Watch(
        settings=settings,
        log=log,
        engine=engine,
        keys=keys,
        topic=EVENTS.name,
        consumer=CONSUMER,
        record_bytes=lambda: regrouper.bytes / regrouper.records if regrouper.records else 0.0,
    )
    board = Board(engine)
    here = Store(engine, read_clock(settings))
    desk = Desk(here)
    intake = ingest.Ingest(
        settings=settings,
        keys=keys,
        watch=watch,
        regrouper=regrouper,
        metrics=figures,
        partitions=log.state(EVENTS.name).partitions,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        watch.start()
        board.start()
        desk.start()
        yield
        desk.stop()
        board.stop()
        watch.stop()
        intake.close()
        _save_use(keys)

    app = FastAPI(
        title="Penstock",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    problems.install(app)
    health.install(app, watch, checks)
    metrics.install(app, figures, watch, regrouper, board, desk)
    ingest.install(app, intake)
    pipe.install(app, keys, figures, watch)
    routes.install(app, keys, board)
    ofrep.install(app, keys, board)
    models.install(app, keys, engine)
    reviews.install(app, keys, here, desk)
    for part in (rollouts, specs, decisions):
        part.install(app, keys, here)
    webhooks.install(app, keys, engine, keeping.fetcher(settings))
    _describe(app)
    app.add_middleware(Door, names=_names(settings))
    app.add_middleware(Rim)
    return app


class Rim:
    """Every answer carries the security headers, and an error of ours is answered too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except asyncio.CancelledError:  # its time was up when the server stopped
            if not started:
                problem = problems.Problem("stopping", retry_after_s=2)
                answer = problems.respond(problem, scope["path"], problems.trace_id())
                await answer(scope, receive, with_headers)
        except Exception:  # every error of ours is answered with its trace id
            trace = problems.trace_id()
            _log.exception("%s %s failed, trace id %s", scope["method"], scope["path"], trace)
            if started:
                raise
            answer = problems.respond(problems.Problem("internal"), scope["path"], trace)
            await answer(scope, receive, with_headers)


def _names(settings: Settings) -> list[str]:
    """Host names that are ours besides those of the loopback."""
    given = [name.strip() for name in settings.allowed_hosts.split(",")]
    return [name for name in (*given, settings.host) if name]


def _describe(app: FastAPI) -> None:
    """`/openapi.json` holds the schemas of our own structs."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = described().setdefault("components", {}).setdefault("schemas", {})
            for part in DESCRIBED:
                schemas.update(part.schemas())
            schemas["Problem"] = problems.SCHEMA
        return described()

    app.openapi = openapi  # type: ignore[method-assign]


def _save_use(keys: KeyRing) -> None:
    try:
        keys.save_use()
    except Error:
        return  # when a key was last used is worth no delay at the end
