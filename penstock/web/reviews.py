"""`/v1/reviews`: proposed answers wait for people, and services wait for what people say."""

from enum import StrEnum
from functools import partial
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Struct
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from penstock import reviewing
from penstock.masking import SCOPE
from penstock.reviewing import ReviewView
from penstock.rollouts import Store
from penstock.web import asking, auth, bodies, pages, waiting
from penstock.web.desk import Desk
from penstock.web.once import Once, once
from penstock.web.problems import Problem
from penstock.web.routes import permit
from rollout.proposals import review_id
from rollout.reviews import Review, Saying, State
from streams.db.engine import writing
from streams.errors import IllegalTransitionError, InputError
from streams.keys import KeyRing, Principal

ALL = "/v1/reviews"
ONE = "/v1/reviews/{id}"
OF = "/v1/reviews/of/{model:path}"
BODY_BYTES = 64 << 10
CONFIRMED = "confirmed"
"""The reason of a confirmation that came without one."""
_TEXT = {"type": "string"}


class Verb(StrEnum):
    """What a person can say of a proposed answer."""

    CONFIRM = "confirm"
    REFUSE = "refuse"


class ReviewAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says: a refusal has a reason, and perhaps the label that is right."""

    action: Verb
    reason: str = ""
    label: str | None = None


class Reviews(Struct, frozen=True):
    """A page of reviews, those first whose time is over first."""

    items: list[ReviewView]
    next_cursor: str | None


class Awaited(Struct, frozen=True, kw_only=True):
    """What a service is told of the answer that it proposed; `deadline_ms` is domain time."""

    id: str
    state: State
    version: str
    deadline_ms: int
    by: str | None
    reason: str | None
    label: str | None


def install(app: FastAPI, keys: KeyRing, here: Store, desk: Desk) -> None:
    """The paths answer, and are described."""
    _install_people(app, keys, here)

    @app.get(OF, summary="What became of a proposed answer", tags=["reviews"],
             openapi_extra=_awaited())  # fmt: skip
    async def awaited(request: Request, model: str) -> Response:
        permit(await auth.principal(request, keys), model)
        id = review_id(model, _prediction_id(request))
        wait_s = waiting.wait_s(request)
        find = partial(asking.answering, lambda: desk.found(id))
        found = await run_in_threadpool(find)
        if wait_s and (found is None or found.state is State.OPEN):
            await desk.closed(id, wait_s, partial(waiting.gone, request))
            found = await run_in_threadpool(find)
        if found is None:
            raise Problem("no-review", f"nobody is asked about this answer of {model[:120]!r}")
        return asking.answer(_told(found))


def _install_people(app: FastAPI, keys: KeyRing, here: Store) -> None:
    reader = bodies.Reader(BODY_BYTES)

    @app.get(ALL, summary="Reviews", tags=["reviews"], openapi_extra=_listing())
    async def every(request: Request) -> Response:
        who = pages.reader(await auth.principal(request, keys))
        limit, cursor = pages.page(request)
        find = partial(
            reviewing.listed, here, state=_state(request), models=who.models,
            rollout=request.query_params.get("rollout"), after=cursor or None, limit=limit + 1,
            sensitive=who.may(SCOPE),
        )  # fmt: skip
        found = await run_in_threadpool(asking.answering, find)
        items, is_more = found[:limit], len(found) > limit
        return asking.answer(Reviews(items, items[-1].id if is_more else None))

    @app.get(ONE, summary="A review", tags=["reviews"], openapi_extra=_described("ReviewView"))
    async def one(request: Request, id: str) -> Response:
        who = pages.reader(await auth.principal(request, keys))
        return asking.answer(await run_in_threadpool(_known, here, id, who))

    @app.post(ONE, summary="Confirm or refuse", tags=["reviews"], openapi_extra=_answering())
    async def say(request: Request, id: str) -> Response:
        who = asking.decider(await auth.principal(request, keys))
        bodies.check_type(request)
        async with reader.body(request) as body:
            said = _said(body)
        command = once(request, who, ["review", id, said])
        found = await run_in_threadpool(_say, here, id, who, said, command)
        return Response(found, media_type="application/json")


def schemas() -> dict[str, Any]:
    """The OpenAPI components that the descriptions refer to."""
    _, components = msgspec.json.schema_components(
        [Reviews, ReviewView, ReviewAnswer, Awaited], ref_template="#/components/schemas/{name}"
    )
    return components


def _known(here: Store, id: str, who: Principal) -> ReviewView:
    """Raises Problem where there is no such review for `who`."""
    try:
        found = reviewing.known(here, id, sensitive=who.may(SCOPE))
    except InputError as error:
        raise Problem("no-review", error.message) from error
    asking.sees(who, found.model)
    return found


def _say(here: Store, id: str, who: Principal, said: ReviewAnswer, command: Once) -> bytes:
    """The answer: given now, or to this key before."""
    person = asking.person(who, said.reason.strip() or CONFIRMED)
    state = State.CONFIRMED if said.action is Verb.CONFIRM else State.REFUSED
    saying = Saying(state=state, by=person.name, reason=person.reason, label=said.label)

    def within(connection: Connection) -> bytes:
        if (found := command.before(connection, clock=here.clock)) is not None:
            return found
        shown = reviewing.said(connection, here, id, saying, sensitive=who.may(SCOPE))
        body = msgspec.json.encode(shown)
        command.keep(connection, body)
        return body

    def work() -> bytes:
        _known(here, id, who)
        try:
            with writing(here.engine) as connection:
                return within(connection)
        except IllegalTransitionError as error:
            raise Problem("review-over", f"{error.message}: {error.why}") from error

    return asking.answering(work, bad_input="bad-review")


def _said(body: bytes) -> ReviewAnswer:
    try:
        said = msgspec.json.decode(body, type=ReviewAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("bad-review", str(error)) from error
    if said.action is Verb.REFUSE and not said.reason.strip():
        fault = {"pointer": "reason", "detail": "it says why, and stands with the answer"}
        raise Problem("bad-review", "a refusal needs a reason", errors=[fault])
    return said


def _told(found: Review) -> Awaited:
    return Awaited(
        id=found.id, state=found.state, version=found.version, deadline_ms=found.deadline_ms,
        by=found.by, reason=found.reason, label=found.label,
    )  # fmt: skip


def _state(request: Request) -> State | None:
    """Which reviews are asked for: the open ones, unless another state or `all` is."""
    given = request.query_params.get("state", State.OPEN)
    if given == "all":
        return None
    if given not in list(State):
        known = ", ".join([*State, "all"])
        raise Problem("bad-parameter", f"state is {given[:40]!r}; it is one of {known}")
    return State(given)


def _prediction_id(request: Request) -> str:
    given = request.query_params.get("prediction_id", "")
    if not 1 <= len(given) <= 200:
        raise Problem("bad-parameter", f"prediction_id has {len(given)} characters; 1 to 200 do")
    return given


def _described(schema: str, **given: Any) -> dict[str, Any]:
    said = {404: "No such review", 503: "Not now; Retry-After"} | given.pop("said", {})
    return pages.described(schema, said=said, **({"path": ["id"]} | given))


def _listing() -> dict[str, Any]:
    state = {"type": "string", "enum": [*State, "all"], "default": State.OPEN}
    found = [
        {"name": "state", "in": "query", "schema": state},
        {"name": "rollout", "in": "query", "schema": _TEXT},
    ]
    return _described("Reviews", parameters=[*found, *pages.PARAMETERS], path=[])


def _answering() -> dict[str, Any]:
    return _described(
        "ReviewView",
        parameters=[{"name": "Idempotency-Key", "in": "header", "schema": _TEXT}],
        body={"application/json": {"schema": {"$ref": "#/components/schemas/ReviewAnswer"}}},
        said={409: "Somebody was first, or its time is over", 422: "A field cannot be"},
    )


def _awaited() -> dict[str, Any]:
    found = [
        {"name": "prediction_id", "in": "query", "required": True, "schema": _TEXT},
        {"name": "wait", "in": "query", "schema": waiting.SCHEMA,
         "description": "seconds to wait for a person, or for the answer to be counted"},
    ]  # fmt: skip
    return _described("Awaited", parameters=found, path=["model"])
