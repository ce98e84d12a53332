"""`/v1/rollouts`: where they stand, their decisions, and what the judge saw."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Struct
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from penstock import rollouts
from penstock.rollout_details import Detail, MetricView, etag, metric_view
from penstock.rollout_views import Line, lines
from penstock.rollouts import Store
from penstock.web import auth, pages
from penstock.web.asking import answer, answering, look_up
from penstock.web.problems import Problem
from rollout import kept
from rollout.kept import Kept
from rollout.store import Standing, Summary
from streams.keys import KeyRing

T = TypeVar("T")

ALL = "/v1/rollouts"
ONE = "/v1/rollouts/{name:path}"
_SAID = {404: "No such rollout", 503: "Not now; Retry-After"}
_METRIC = {"name": "metric", "in": "query", "required": True, "schema": {"type": "string"}}


class Rollouts(Struct, frozen=True):
    """A page of rollouts, the newest first; the next begins after `next_cursor`."""

    items: list[Summary]
    next_cursor: str | None


class Decisions(Struct, frozen=True):
    """A page of decisions, the oldest first."""

    items: list[Line]
    next_cursor: str | None


class Look(Struct, frozen=True, kw_only=True):
    """What the judge saw: decision `seq` was made then, and 0 is the newest. Domain time, ms."""

    seq: int
    at_ms: int
    fresh_ms: int | None
    snapshot: str
    metrics: list[MetricView]
    doubts: list[str]


class Looks(Struct, frozen=True):
    """A page of looks, the newest first."""

    items: list[Look]
    next_cursor: str | None


class Series(Struct, frozen=True):
    """One metric at every look that was kept, the oldest first."""

    metric: str
    points: list[Look]


def install(app: FastAPI, keys: KeyRing, here: Store) -> None:
    """The paths answer, and are described."""

    _install_looks(app, keys, here)

    @app.get(ALL, **_described("Rollouts", "Rollouts", pages.PARAMETERS, path=[]))
    async def every(request: Request) -> Response:
        who = pages.reader(await auth.principal(request, keys))
        found = await run_in_threadpool(answering, lambda: rollouts.listed(here))
        shown = [each for each in found if who.sees(each.model)]
        return answer(Rollouts(*pages.cut(shown, request, name=lambda each: each.rollout)))

    @app.get(f"{ONE}/decisions", **_described("Decisions", "Decisions", pages.PARAMETERS))
    async def decisions(request: Request, name: str) -> Response:
        found = await _seen(here, keys, request, name, lambda _, standing: lines(standing))
        return answer(Decisions(*pages.cut(found, request, name=lambda each: str(each.seq))))

    # Last: a name may have a slash.
    @app.get(ONE, **_described("Where a rollout stands, and its newest look", "Detail"))
    async def one(request: Request, name: str) -> Response:
        def shown(connection: Connection, standing: Standing) -> tuple[Detail, str]:
            found, look = rollouts.seen(connection, standing, clock=here.clock)
            return found, etag(standing, look)

        found, tag = await _seen(here, keys, request, name, shown)
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return answer(found, headers=headers)


def _install_looks(app: FastAPI, keys: KeyRing, here: Store) -> None:
    @app.get(f"{ONE}/looks", **_described("What the judge saw", "Looks", pages.PARAMETERS))
    async def looks(request: Request, name: str) -> Response:
        found = await _seen(here, keys, request, name, _looks)
        shown = [_look(each) for each in reversed(found)]
        return answer(Looks(*pages.cut(shown, request, name=lambda each: str(each.seq))))

    @app.get(f"{ONE}/series", **_described("A metric at every look", "Series", [_METRIC]))
    async def series(request: Request, name: str) -> Response:
        wanted = request.query_params.get("metric", "")

        def points(connection: Connection, standing: Standing) -> list[Look]:
            if wanted not in standing.declared.spec.by_name:
                raise Problem("bad-parameter", f"{wanted[:80]!r} is no metric of {name!r}")
            return [_look(each, of=wanted) for each in _looks(connection, standing)]

        return answer(Series(wanted, await _seen(here, keys, request, name, points)))


def schemas() -> dict[str, Any]:
    """The OpenAPI components that the descriptions refer to."""
    _, components = msgspec.json.schema_components(
        [Rollouts, Detail, Decisions, Looks, Series], ref_template="#/components/schemas/{name}"
    )
    return components


async def _seen(
    here: Store,
    keys: KeyRing,
    request: Request,
    name: str,
    what: Callable[[Connection, Standing], T],
) -> T:
    """`what` of the rollout, for who may read it."""
    who = pages.reader(await auth.principal(request, keys))
    return await run_in_threadpool(look_up, here, name, who, what)


def _looks(connection: Connection, standing: Standing) -> list[Kept]:
    """Those of the decisions, the oldest first, and then the newest."""
    newest = kept.newest(connection, standing.name)
    return [*kept.cited(connection, standing.name), *([newest] if newest else [])]


def _look(found: Kept, *, of: str | None = None) -> Look:
    """A look with its metrics, or with one of them."""
    return Look(
        seq=found.seq, at_ms=found.at_ms, fresh_ms=found.fresh_ms, snapshot=found.digest,
        metrics=[
            metric_view(found.record, each)
            for each in found.record.judged
            if of in (None, each.metric)
        ],
        doubts=list(found.record.broken),
    )  # fmt: skip


def _described(
    summary: str,
    schema: str,
    parameters: Sequence[dict[str, Any]] = (),
    *,
    path: Sequence[str] = ("name",),
) -> dict[str, Any]:
    extra = pages.described(schema, parameters=parameters, said=_SAID, path=path)
    return {"summary": summary, "tags": ["rollouts"], "openapi_extra": extra}
