"""`GET /v1/routes/{model}`: the newest route table, at once or as soon as it changes."""

from functools import partial
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from penstock.web import auth, waiting
from penstock.web.board import Board, etag, tagged
from penstock.web.problems import Problem
from rollout.assignment import RouteTable, encoded
from rollout.readers import Reader
from streams.keys import KeyRing, Principal

PATH = "/v1/routes/{model:path}"
DEFAULT_ROUTE = "default"
RETRY_AFTER_S = 2
READER = "penstock-reader"
"""The header by which a service says who it is, as long as it runs."""
_NAME_LENGTH = 120


def permit(principal: Principal, model: str) -> None:
    """Raises Problem unless this key may know where requests of `model` go."""
    if not (principal.may("events:write") or principal.may("rollouts:read")):
        raise Problem("not-allowed", "the key has neither events:write nor rollouts:read")
    if not principal.sees(model):
        raise Problem("not-allowed", f"the key is not bound to model {model[:_NAME_LENGTH]!r}")


def known(board: Board) -> None:
    """Raises Problem while this process has never seen the route tables."""
    if not board.is_known:
        raise Problem("routes-unavailable", retry_after_s=RETRY_AFTER_S)


def install(app: FastAPI, keys: KeyRing, board: Board) -> None:
    """`GET /v1/routes/{model}` answers, and is described."""

    @app.get(PATH, summary="Where requests go", tags=["routes"], openapi_extra=_described())
    async def table(request: Request, model: str) -> Response:
        permit(await auth.principal(request, keys), model)
        key = model, _route(request)
        wait_s = waiting.wait_s(request)
        known(board)
        given = request.headers.get("if-none-match", "")
        found = board.table(key)
        _hear(board, found, request)
        if wait_s and _is_held(found, given):
            await board.changed(key, wait_s, partial(waiting.gone, request))
            found, before = board.table(key), found
            if before is None:
                _hear(board, found, request)
        if found is None:
            raise Problem("no-route", f"model {key[0][:80]!r} has no route {key[1]!r}")
        headers = {"ETag": etag(found), "Cache-Control": "private, no-cache"}
        if _is_held(found, given):
            return Response(status_code=304, headers=headers)
        return Response(encoded(found), headers=headers, media_type="application/json")


def schemas() -> dict[str, Any]:
    """The OpenAPI components that the description of this path refers to."""
    _, components = msgspec.json.schema_components(
        [RouteTable], ref_template="#/components/schemas/{name}"
    )
    return components


def _hear(board: Board, served: RouteTable | None, request: Request) -> None:
    """Which table the service decides by: that of its tag, or without one what it is given now."""
    if served is None:
        return
    name = request.headers.get(READER, "")
    tags = map(tagged, _tags(request.headers.get("if-none-match", "")))
    now = served.generation, served.version, served.expires_at
    held, own = (
        Reader(
            model=served.model, route=served.route, reader=name,
            generation=generation, version=version, expires_ms=expires_ms,
        )
        for generation, version, expires_ms in (next(filter(None, tags), now), now)
    )  # fmt: skip
    board.hearing.hear(held, own)


def _tags(given: str) -> list[str]:
    return [tag.strip().removeprefix("W/") for tag in given.split(",")]


def _is_held(table: RouteTable | None, given: str) -> bool:
    """Whether the client has this table: one that is not there is held by whoever has none."""
    tags = _tags(given)
    if table is None:
        return True
    return etag(table) in tags or "*" in tags


def _route(request: Request) -> str:
    route = request.query_params.get("route", DEFAULT_ROUTE)
    if not 1 <= len(route) <= _NAME_LENGTH:
        raise Problem("bad-parameter", f"route has {len(route)} characters; 1 to 120 are a name")
    return route


def _described() -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    said = {400: "A parameter cannot be", 401: "Key missing or unknown", 403: "Not allowed",
            404: "No table was published", 503: "Not now; Retry-After"}  # fmt: skip
    found = {"application/json": {"schema": {"$ref": "#/components/schemas/RouteTable"}}}
    return {
        "parameters": [
            {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}},
            {"name": "route", "in": "query", "description": "the decision point",
             "schema": {"type": "string", "default": DEFAULT_ROUTE}},
            {"name": "wait", "in": "query",
             "description": "seconds to wait for another table than that of If-None-Match",
             "schema": waiting.SCHEMA},
            {"name": "If-None-Match", "in": "header", "description": "the ETag of the last answer",
             "schema": {"type": "string"}},
            {"name": "Penstock-Reader", "in": "header",
             "description": "of one process: a rollback is complete once each has the new table",
             "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}},
        ],
        "responses": {
            "200": {"description": "The newest table", "content": found},
            "304": {"description": "Still the table of If-None-Match"},
            **{str(s): {"description": text, "content": problem} for s, text in said.items()},
        },
    }  # fmt: skip
