"""`POST /v1/rollouts/{name}/decisions`: what a person decides, over HTTP.

A decision stands in one transaction with the answer to it, under the key that it was sent with;
so sending it again, after a crash too, gives the same answer and decides nothing twice. All
traffic back to the champion needs neither a key nor to have seen anything, and is never refused.
"""

from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from penstock.deciding import Action, Wish, carry_out
from penstock.rollout_views import Line, View, lines, view
from penstock.rollouts import Store
from penstock.web import asking, auth, bodies, pages
from penstock.web.once import once
from penstock.web.problems import Problem
from penstock.web.rollouts import ONE
from rollout.acting import committed
from streams.keys import KeyRing, Principal

BODY_BYTES = 64 << 10
BACK = "back to the champion"
"""The reason of a rollback that came without one."""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """A decision as it is sent; `penstock.deciding.Wish` says what each field means."""

    action: Action
    reason: str = ""
    arm: str | None = None
    override: tuple[str, ...] = ()
    in_freeze: bool = False
    revision: int | None = None


class Decided(Struct, frozen=True):
    """The newest decision, and where the rollout stands with it."""

    decision: Line
    rollout: View


def install(app: FastAPI, keys: KeyRing, here: Store) -> None:
    """The path answers, and is described."""
    reader = bodies.Reader(BODY_BYTES)

    @app.post(f"{ONE}/decisions", summary="Decide", tags=["rollouts"], openapi_extra=_described())
    async def decide(request: Request, name: str) -> Response:
        who = asking.decider(await auth.principal(request, keys))
        bodies.check_type(request)
        async with reader.body(request) as body:
            asked = _asked(body)
        posted = _Posted(here, name, who, asked, request)
        found = await run_in_threadpool(asking.answering, posted.decided, bad_input="bad-decision")
        return Response(found, media_type="application/json")


def schemas() -> dict[str, Any]:
    """The OpenAPI components that the description refers to."""
    _, components = msgspec.json.schema_components(
        [Asked, Decided], ref_template="#/components/schemas/{name}"
    )
    return components


class _Posted:
    """A decision that was sent, and what it is held against: its key, and what was seen."""

    def __init__(
        self, here: Store, name: str, who: Principal, asked: Asked, request: Request
    ) -> None:
        goes_back = asked.action is Action.ROLLBACK and asked.arm is None
        reason = (asked.reason.strip() or BACK) if goes_back else asking.reasoned(asked.reason)
        self._here, self._who = here, who
        self._once = None if goes_back else once(request, who, [name, asked])
        self._tag = "*" if goes_back else asking.if_match(request)
        self._wish = Wish(
            rollout=name, action=asked.action, who=asking.person(who, reason), arm=asked.arm,
            override=asked.override, in_freeze=asked.in_freeze, revision=asked.revision,
        )  # fmt: skip

    def decided(self) -> bytes:
        """The answer: given now, or to this key before."""
        return committed(self._here.engine, self._within, goes_back=self._wish.goes_back)

    def _within(self, connection: Connection) -> bytes:
        standing = asking.known(connection, self._wish.rollout, self._who)
        if self._once is not None:
            before = self._once.before(connection, clock=self._here.clock)
            if before is not None:
                return before
        wish = self._wish
        if not wish.goes_back:
            asking.unmoved(connection, standing, self._tag)
            wish = replace(wish, seen_seq=standing.state.seq)
        after = carry_out(connection, wish, clock=self._here.clock)
        body = msgspec.json.encode(Decided(lines(after)[-1], view(after)))
        if self._once:
            self._once.keep(connection, body)
        return body


def _asked(body: bytes) -> Asked:
    try:
        return msgspec.json.decode(body, type=Asked)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("bad-decision", str(error)) from error


def _described() -> dict[str, Any]:
    text = {"type": "string"}
    headers = ("Idempotency-Key", "If-Match")
    return pages.described(
        "Decided",
        parameters=[{"name": name, "in": "header", "schema": text} for name in headers],
        body={"application/json": {"schema": {"$ref": "#/components/schemas/Asked"}}},
        path=["name"],
        said={
            404: "No such rollout", 409: "Not there, not yet, or somebody else has it",
            412: "It has moved", 422: "A field cannot be", 428: "No If-Match", 503: "Not now",
        },
    )  # fmt: skip
