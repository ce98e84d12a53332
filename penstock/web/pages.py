"""Pages of a list, and how answers and parameters are described: the same at every path."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request

from penstock.web.problems import Problem
from streams.keys import Principal

T = TypeVar("T")

MOST = 200
PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "limit", "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST},
    },
    {
        "name": "cursor", "in": "query",
        "schema": {"type": "string", "description": "next_cursor of the page before"},
    },
]  # fmt: skip
ALWAYS = {400: "A parameter cannot be", 401: "Key missing or unknown", 403: "Not allowed"}


def page(request: Request) -> tuple[int, str]:
    """(limit, cursor) that were asked for. Raises Problem for a limit that cannot be."""
    given = request.query_params.get("limit", str(MOST))
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:10]) <= MOST):
        raise Problem("bad-parameter", f"limit is {given[:40]!r}; it is 1 to {MOST}")
    return int(given), request.query_params.get("cursor", "")


def cut(
    found: Sequence[T], request: Request, *, name: Callable[[T], str]
) -> tuple[list[T], str | None]:
    """The page that was asked for, and the cursor of the next one; None on the last.

    Raises Problem for a cursor that no page gave.
    """
    limit, cursor = page(request)
    begin = 0
    if cursor:
        names = [name(each) for each in found]
        if cursor not in names:
            raise Problem("bad-parameter", "cursor is not one that a page gave")
        begin = names.index(cursor) + 1
    items = list(found[begin : begin + limit])
    rest = begin + limit < len(found)
    return items, name(items[-1]) if rest else None


def reader(principal: Principal) -> Principal:
    """Raises Problem unless this key may read models and rollouts."""
    if not principal.may("rollouts:read"):
        raise Problem("not-allowed", "the key has not the scope rollouts:read")
    return principal


def described(
    answer: str,
    *,
    parameters: Sequence[Mapping[str, Any]] = (),
    body: Mapping[str, Any] | None = None,
    said: Mapping[int, str] | None = None,
    path: Sequence[str] = (),
) -> dict[str, Any]:
    """What OpenAPI says of a path: `answer` names a schema, `said` the refusals of its own."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found = {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}}
    text = {"type": "string"}
    return {
        "parameters": [
            *({"name": each, "in": "path", "required": True, "schema": text} for each in path),
            *parameters,
        ],
        **({"requestBody": {"required": True, "content": body}} if body else {}),
        "responses": {
            "200": {"description": answer, "content": found},
            **{
                str(status): {"description": words, "content": problem}
                for status, words in (ALWAYS | dict(said or {})).items()
            },
        },
    }
