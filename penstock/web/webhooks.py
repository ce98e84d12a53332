"""`/v1/webhooks`: who is told of decisions, what they were told, and their secrets."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Struct
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from penstock.outbound.fetcher import Fetcher
from penstock.web import asking, auth, bodies, pages
from penstock.web.problems import Problem
from penstock.webhooks import keeping
from penstock.webhooks.keeping import Resent, WebhookSecret, WebhookTest, WebhookView
from streams.deliveries import Delivery
from streams.errors import InputError
from streams.keys import EVERY_MODEL, KeyRing, Principal

T = TypeVar("T")

ALL = "/v1/webhooks"
ONE = "/v1/webhooks/{id}"
BODY_BYTES = 16 << 10
_SAID = {404: "No such webhook", 409: "It has ended", 422: "A field cannot be", 503: "Not now"}


class NewWebhook(Struct, frozen=True, forbid_unknown_fields=True):
    """A webhook to be made."""

    url: str
    models: tuple[str, ...] = (EVERY_MODEL,)
    description: str = ""


class Resend(Struct, frozen=True, forbid_unknown_fields=True):
    """The events to send again; none: all that were given up."""

    events: tuple[str, ...] = ()


class Webhooks(Struct, frozen=True):
    """A page of webhooks, the newest first."""

    items: list[WebhookView]
    next_cursor: str | None


class Deliveries(Struct, frozen=True):
    """A page of what a webhook was told, the newest first."""

    items: list[Delivery]
    next_cursor: str | None


def install(app: FastAPI, keys: KeyRing, engine: Engine, fetcher: Fetcher) -> None:
    """The paths answer, and are described."""
    reader = bodies.Reader(BODY_BYTES)

    @app.get(ALL, **_described("Webhooks", "Webhooks", paged=True, path=()))
    async def every(request: Request) -> Response:
        who = await _admin(request, keys)
        found = await run_in_threadpool(asking.answering, lambda: keeping.listed(engine))
        shown = [each for each in found if _sees(who, each.models)]
        return asking.answer(Webhooks(*pages.cut(shown, request, name=lambda each: each.id)))

    @app.post(ALL, **_described("A webhook", "WebhookSecret", body="NewWebhook", path=()))
    async def create(request: Request) -> Response:
        who = await _admin(request, keys)
        asked = await _body(request, reader, NewWebhook)
        if not _sees(who, asked.models):
            raise Problem("not-allowed", "the key is not bound to all of these models")
        return await _done(
            lambda: keeping.create(
                engine, fetcher, url=asked.url, models=asked.models,
                description=asked.description, by=f"web:{who.name}",
            )
        )  # fmt: skip

    @app.get(f"{ONE}/deliveries", **_described("What it was told", "Deliveries", paged=True))
    async def deliveries(request: Request, id: str) -> Response:
        await _own(request, keys, engine, id)
        limit, cursor = pages.page(request)
        if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise Problem("bad-parameter", "cursor is not one that a page gave")
        before = int(cursor) if cursor else None
        found = await run_in_threadpool(
            asking.answering,
            lambda: keeping.told(engine, id, limit=limit + 1, before_id=before),
        )
        rest = str(found[limit - 1].id) if len(found) > limit else None
        return asking.answer(Deliveries(found[:limit], rest))

    @app.post(f"{ONE}/test", **_described("Send a test now", "WebhookTest"))
    async def test(request: Request, id: str) -> Response:
        await _own(request, keys, engine, id)
        return await _done(lambda: keeping.test(engine, fetcher, id))

    @app.post(f"{ONE}/resend", **_described("Send again", "Resent", body="Resend"))
    async def resend(request: Request, id: str) -> Response:
        await _own(request, keys, engine, id)
        asked = await _body(request, reader, Resend)
        return await _done(lambda: keeping.resend(engine, id, events=asked.events))

    @app.post(f"{ONE}/rotate", **_described("A new secret", "WebhookSecret"))
    async def rotate(request: Request, id: str) -> Response:
        await _own(request, keys, engine, id)
        return await _done(lambda: keeping.rotate(engine, id))

    @app.delete(ONE, **_described("End a webhook", "WebhookView"))
    async def revoke(request: Request, id: str) -> Response:
        await _own(request, keys, engine, id)
        return await _done(lambda: keeping.revoke(engine, id))


def schemas() -> dict[str, Any]:
    """The OpenAPI components that the descriptions refer to."""
    _, components = msgspec.json.schema_components(
        [NewWebhook, Resend, Webhooks, Deliveries, WebhookSecret, Resent, WebhookTest],
        ref_template="#/components/schemas/{name}",
    )
    return components


async def _admin(request: Request, keys: KeyRing) -> Principal:
    """Who asks. Raises Problem unless webhooks are this key's business."""
    who = await auth.principal(request, keys)
    if not who.may("admin"):
        raise Problem("not-allowed", "the key has not the scope admin")
    return who


async def _own(request: Request, keys: KeyRing, engine: Engine, webhook_id: str) -> None:
    """Raises Problem where there is no such webhook, or it hears of models of others."""
    who = await _admin(request, keys)
    try:
        found = await run_in_threadpool(keeping.one, engine, webhook_id)
    except InputError as error:
        raise Problem("no-webhook", error.message) from error
    if not _sees(who, found.models):
        raise Problem("not-allowed", "the key is not bound to all models of this webhook")


def _sees(who: Principal, models: tuple[str, ...]) -> bool:
    return all(who.sees(model) for model in models)


async def _done(work: Callable[[], Any]) -> Response:
    found = await run_in_threadpool(asking.answering, work, bad_input="bad-webhook")
    return asking.answer(found)


async def _body(request: Request, reader: bodies.Reader, kind: type[T]) -> T:
    bodies.check_type(request)
    async with reader.body(request) as body:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem("bad-webhook", str(error)) from error


def _described(
    summary: str,
    schema: str,
    *,
    body: str = "",
    paged: bool = False,
    path: tuple[str, ...] = ("id",),
) -> dict[str, Any]:
    given = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
    extra = pages.described(
        schema, parameters=pages.PARAMETERS if paged else (), body=given if body else None,
        said=_SAID, path=path,
    )  # fmt: skip
    return {"summary": summary, "tags": ["webhooks"], "openapi_extra": extra}
