"""Every refusal of the HTTP API: RFC 9457 problem documents, each with a page of its own.

The `type` of a problem is the path of its page, `/problems/<slug>`, which says why it happens
and what to do. Details never carry a secret or more of what was sent than a name.
"""

import html
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from penstock.web.kinds import KINDS

CONTENT_TYPE = "application/problem+json"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "fix", "trace_id"],
    "properties": {
        "status": {"type": "integer"},
        "errors": {"type": "array", "items": {"type": "object"}},
        **{
            name: {"type": "string"}
            for name in ("type", "title", "detail", "instance", "fix", "trace_id")
        },
    },
}
STATUS_SLUGS = {404: "not-found", 405: "method-not-allowed"}


class Problem(Exception):
    """The request is refused; `slug` is a key of KINDS."""

    def __init__(
        self,
        slug: str,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.kind = KINDS[slug]
        self.detail = detail or self.kind.cause
        self.errors = errors
        self.members = members or {}  # of other protocols that the same answer has to satisfy
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)


def trace_id() -> str:
    """16 hexadecimal digits that name one refusal in the answer and in our own log."""
    return secrets.token_hex(8)


def respond(problem: Problem, path: str, trace: str) -> Response:
    """The problem document."""
    kind = problem.kind
    body: dict[str, Any] = {
        "type": f"/problems/{problem.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": path[:200],
        "fix": kind.fix,
        "trace_id": trace,
        **problem.members,
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    return Response(
        msgspec.json.encode(body), kind.status, problem.headers, media_type=CONTENT_TYPE
    )


def install(app: FastAPI) -> None:
    """Every refusal of `app` is a problem document, and every problem has its page."""

    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> Response:
        return respond(problem, request.url.path, trace_id())

    @app.exception_handler(HTTPException)
    async def by_framework(request: Request, error: HTTPException) -> Response:
        problem = Problem(
            STATUS_SLUGS.get(error.status_code, "internal"), headers=error.headers or {}
        )
        return respond(problem, request.url.path, trace_id())

    @app.get("/problems", include_in_schema=False)
    async def index() -> Response:
        items = "".join(
            f'<li><a href="/problems/{slug}">{html.escape(kind.title)}</a> ({kind.status})</li>'
            for slug, kind in KINDS.items()
        )
        return _page("Problems", f"<ul>{items}</ul>")

    @app.get("/problems/{slug}", include_in_schema=False)
    async def explained(slug: str) -> Response:
        kind = KINDS.get(slug)
        if kind is None:
            raise Problem("not-found", "there is no such problem; /problems lists them")
        return _page(
            kind.title,
            f"<p>HTTP status {kind.status}</p>"
            f"<h2>Cause</h2><p>{html.escape(kind.cause)}</p>"
            f"<h2>What to do</h2><p>{html.escape(kind.fix)}</p>"
            '<p><a href="/problems">All problems</a></p>',
        )


def _page(title: str, body: str) -> Response:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><h1>{html.escape(title)}</h1>{body}</html>"
    )
    return Response(text, media_type="text/html; charset=utf-8")
