"""Specs over HTTP: a new rollout, or a revision of one."""

from functools import partial
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from penstock import rollouts
from penstock.rollout_views import View
from penstock.rollouts import Store
from penstock.web import asking, auth, pages
from penstock.web.bodies import Reader
from penstock.web.problems import Problem
from penstock.web.rollouts import ALL, ONE
from rollout.editing import Edit
from streams.keys import KeyRing
from streams.yamls import MAX_BYTES

CALLED = "the spec"  # in errors
_TYPES = ("application/json", "application/yaml", "application/x-yaml", "text/yaml")
_BODY = {each: {"schema": {"type": "object"}} for each in _TYPES[:2]}
_REASON = {"name": "reason", "in": "query", "schema": {"type": "string"}}
_MATCH = {"name": "If-Match", "in": "header", "required": True, "schema": {"type": "string"}}
_SAID = {413: "Too large", 415: "Neither JSON nor YAML", 422: "What lint calls an error"}
_CREATE = pages.described(
    "View", parameters=[_REASON], body=_BODY, said=_SAID | {409: "The name is taken"}
)
_REVISE = pages.described(
    "Edit", parameters=[_REASON, _MATCH], body=_BODY, path=["name"],
    said=_SAID | {404: "No such rollout", 412: "It has moved", 428: "No If-Match"},
)  # fmt: skip


def install(app: FastAPI, keys: KeyRing, here: Store) -> None:
    """Both paths answer, and are described."""
    reader = Reader(MAX_BYTES)

    @app.post(ALL, summary="A draft from a spec", tags=["rollouts"], openapi_extra=_CREATE)
    async def create(request: Request) -> Response:
        who = asking.decider(await auth.principal(request, keys))
        person = asking.person(who, request.query_params.get("reason", ""))
        text = await _spec(request, reader)
        made = await run_in_threadpool(
            asking.answering,
            lambda: rollouts.create(
                here, text, name=CALLED, who=person, may=partial(asking.sees, who)
            ),
            bad_input="bad-spec",
        )
        return asking.answer(made)

    @app.put(f"{ONE}/spec", summary="A revision", tags=["rollouts"], openapi_extra=_REVISE)
    async def revise(request: Request, name: str) -> Response:
        who = asking.decider(await auth.principal(request, keys))
        person = asking.person(who, asking.reasoned(request.query_params.get("reason", "")))
        text, tag = await _spec(request, reader), asking.if_match(request)

        def ready(connection: Connection) -> None:
            asking.unmoved(connection, asking.known(connection, name, who), tag)

        def revised() -> Edit:
            asking.look_up(here, name, who, lambda _, standing: standing)  # before its spec is read
            return rollouts.edit(here, text, name=CALLED, who=person, of=name, ready=ready)

        found = await run_in_threadpool(asking.answering, revised, bad_input="bad-spec")
        return asking.answer(found)


def schemas() -> dict[str, Any]:
    """The OpenAPI components that the descriptions refer to."""
    _, components = msgspec.json.schema_components(
        [View, Edit], ref_template="#/components/schemas/{name}"
    )
    return components


async def _spec(request: Request, reader: Reader) -> bytes:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in _TYPES:
        raise Problem(
            "unsupported-type", f"{given[:80]!r} is not taken; a spec is {' or '.join(_TYPES[:2])}"
        )
    async with reader.body(request) as body:
        return body
