"""`GET /v1/models` and `GET /v1/models/{model}/versions`: what is known of models."""

from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from penstock import versioning
from penstock.web import auth, pages
from penstock.web.problems import Problem
from streams import registry
from streams.db.engine import reading
from streams.errors import InputError
from streams.keys import KeyRing
from streams.registry import ModelSummary

MODELS = "/v1/models"
VERSIONS = "/v1/models/{model:path}/versions"
_MODELS = pages.described("Models", parameters=pages.PARAMETERS)
_VERSIONS = pages.described(
    "Versions", path=["model"], parameters=pages.PARAMETERS, said={404: "No such model"}
)


class Models(msgspec.Struct, frozen=True):
    """A page of models by name; the next begins at `next_cursor`, null on the last."""

    items: list[ModelSummary]
    next_cursor: str | None


class Versions(msgspec.Struct, frozen=True):
    """A page of versions in the order in which they were first seen."""

    items: list[versioning.Shown]
    next_cursor: str | None


def install(app: FastAPI, keys: KeyRing, engine: Engine) -> None:
    """Both paths answer, and are described."""

    @app.get(MODELS, summary="Models", tags=["models"], openapi_extra=_MODELS)
    async def models(request: Request) -> Response:
        who = pages.reader(await auth.principal(request, keys))
        limit, cursor = pages.page(request)
        found = await run_in_threadpool(_models, engine)
        left = [each for each in found if who.sees(each.model) and each.model > cursor]
        rest = left[limit - 1].model if len(left) > limit else None
        return _answer(Models(left[:limit], rest))

    @app.get(
        VERSIONS, summary="Versions of a model", tags=["models"],
        openapi_extra=_VERSIONS,
    )  # fmt: skip
    async def versions(request: Request, model: str) -> Response:
        if not pages.reader(await auth.principal(request, keys)).sees(model):
            raise Problem("not-allowed", f"the key is not bound to model {model[:120]!r}")
        limit, cursor = pages.page(request)
        if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise Problem("bad-parameter", "cursor is not one that a page gave")
        after = int(cursor or 0)
        try:
            found = await run_in_threadpool(
                versioning.listed, engine, model, after=after, limit=limit + 1
            )
        except InputError as error:
            raise Problem("no-model", error.message[:200]) from error
        rest = str(found[limit - 1].no) if len(found) > limit else None
        return _answer(Versions(found[:limit], rest))


def schemas() -> dict[str, Any]:
    """The OpenAPI components that the descriptions refer to."""
    _, components = msgspec.json.schema_components(
        [Models, Versions], ref_template="#/components/schemas/{name}"
    )
    return components


def _models(engine: Engine) -> list[ModelSummary]:
    with reading(engine) as connection:
        return registry.summaries(connection)


def _answer(page: Models | Versions) -> Response:
    return Response(msgspec.json.encode(page), media_type="application/json")
