"""`POST /ofrep/v1/evaluate/flags/{key}`: who answers a request, for stock OpenFeature clients.

The flag is `model` or `model/route`, its value the version, its variant the arm. A refusal is a
problem document that also has the members of OFREP's own errors, so that its clients fall back
to the default that the service names: the champion.
"""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from penstock.web import auth, bodies, routes
from penstock.web.board import Board
from penstock.web.problems import Problem
from rollout.assignment import Arm, RouteTable, arm_of, in_scope
from streams.keys import KeyRing

PATH = "/ofrep/v1/evaluate/flags/{key:path}"
BODY_BYTES = 64 << 10
KEY_LENGTH = 200


class Evaluation(msgspec.Struct, frozen=True):
    """OFREP's answer; `metadata` is what the events of the request are to carry."""

    key: str
    value: str
    reason: str
    variant: str
    metadata: dict[str, str | int | bool]


class _Asked(msgspec.Struct):
    context: dict[str, Any] = {}


def install(app: FastAPI, keys: KeyRing, board: Board) -> None:
    """`POST /ofrep/v1/evaluate/flags/{key}` answers, and is described."""
    reader = bodies.Reader(BODY_BYTES)

    @app.post(PATH, summary="Who answers (OFREP)", tags=["routes"], openapi_extra=_described())
    async def evaluate(request: Request, key: str) -> Response:
        model, _, route = key.rpartition("/") if "/" in key else (key, "", routes.DEFAULT_ROUTE)
        routes.permit(await auth.principal(request, keys), model)
        routes.known(board)
        unit, tags = await _context(request, reader, key)
        table = board.table((model, route))
        if table is None or table.expires_at <= time.time_ns() // 1_000_000:
            said = "has no route table" if table is None else "has a route table that expired"
            raise _refusal("no-route", key, "FLAG_NOT_FOUND", f"{key[:80]!r} {said}")
        answer = _evaluated(key, table, arm_of(table, unit, tags), is_drawn=in_scope(table, tags))
        return Response(msgspec.json.encode(answer), media_type="application/json")


def schemas() -> dict[str, Any]:
    """The OpenAPI components that the description of this path refers to."""
    _, components = msgspec.json.schema_components(
        [Evaluation], ref_template="#/components/schemas/{name}"
    )
    return components


async def _context(
    request: Request, reader: bodies.Reader, key: str
) -> tuple[str, Mapping[str, str]]:
    """The unit and the tags of the request; tags are the members of the context that are text."""
    bodies.check_type(request)
    try:
        async with reader.body(request) as body:
            context = msgspec.json.decode(body, type=_Asked).context
    except msgspec.ValidationError as error:
        raise _refusal("bad-context", key, "INVALID_CONTEXT", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refusal("bad-context", key, "PARSE_ERROR", f"the body: {error}") from error
    except (TimeoutError, ClientDisconnect) as error:
        raise Problem("slow-body") from error
    unit = context.pop("targetingKey", "")
    if not isinstance(unit, str) or len(unit) > KEY_LENGTH:
        said = f"targetingKey is not a text of at most {KEY_LENGTH} characters"
        raise _refusal("bad-context", key, "INVALID_CONTEXT", said)
    if not unit:
        raise _refusal("bad-context", key, "TARGETING_KEY_MISSING", "the context has no unit")
    return unit, {tag: value for tag, value in context.items() if isinstance(value, str)}


def _evaluated(key: str, table: RouteTable, arm: Arm, *, is_drawn: bool) -> Evaluation:
    return Evaluation(
        key=key,
        value=arm.version,
        reason="SPLIT" if is_drawn else "TARGETING_MATCH",
        variant=arm.arm,
        metadata={
            "route": table.route,
            "route_version": table.version,
            "arm": arm.arm,
            "confirm": arm.confirm,
        },
    )


def _refusal(slug: str, key: str, code: str, detail: str) -> Problem:
    members = {"key": key[:KEY_LENGTH], "errorCode": code, "errorDetails": detail}
    return Problem(slug, detail, members=members)


def _described() -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    said = {400: "No unit, or no context at all", 401: "Key missing or unknown",
            403: "Not allowed", 404: "No table was published, or it expired",
            503: "Not now; Retry-After"}  # fmt: skip
    context = {"type": "object", "properties": {"targetingKey": {"type": "string"}}}
    asked = {"type": "object", "properties": {"context": context}}
    found = {"application/json": {"schema": {"$ref": "#/components/schemas/Evaluation"}}}
    return {
        "parameters": [
            {"name": "key", "in": "path", "required": True, "schema": {"type": "string"},
             "description": "the model, or model/route"}
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {
            "200": {"description": "The version that answers, as a flag's value",
                    "content": found},
            **{str(s): {"description": text, "content": problem} for s, text in said.items()},
        },
    }  # fmt: skip
