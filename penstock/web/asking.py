"""What every path of rollouts asks first: who it is, which rollout, and as of when."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from fastapi import Request, Response
from sqlalchemy import Connection

from penstock.rollout_details import etag, mark, word
from penstock.rollout_views import lines
from penstock.rollouts import Store
from penstock.web.problems import Problem
from penstock.web.refusals import refused
from rollout import kept, store
from rollout.decisions import Person
from rollout.kept import Kept
from rollout.store import Standing
from streams.db.engine import reading
from streams.errors import Error, InputError
from streams.keys import Principal

T = TypeVar("T")


def answering(work: Callable[[], T], *, bad_input: str = "bad-parameter") -> T:
    """What `work` comes to; an error of ours becomes its problem, a wrong value `bad_input`."""
    try:
        return work()
    except Error as error:
        raise refused(error, bad_input=bad_input) from error


def look_up(here: Store, name: str, who: Principal, what: Callable[[Connection, Standing], T]) -> T:
    """`what` of the rollout, in one snapshot. Raises Problem where there is none for `who`."""

    def work() -> T:
        with reading(here.engine) as connection:
            return what(connection, known(connection, name, who))

    return answering(work)


def known(connection: Connection, name: str, who: Principal) -> Standing:
    """The rollout. Raises Problem where there is none, or its model is not for this key."""
    if "\0" in name:  # a name that PostgreSQL could not look for
        raise Problem("no-rollout", "no name has a NUL")
    try:
        standing = store.standing(connection, name)
    except InputError as error:
        if error.field != "rollout":
            raise
        raise Problem("no-rollout", f"there is no rollout {name[:120]!r}") from error
    sees(who, standing.model)
    return standing


def sees(who: Principal, model: str) -> None:
    """Raises Problem for a model that the key is not bound to."""
    if not who.sees(model):
        raise Problem("not-allowed", f"the key is not bound to model {model[:120]!r}")


def decider(principal: Principal) -> Principal:
    """Raises Problem unless this key may decide about rollouts."""
    if not principal.may("rollouts:decide"):
        raise Problem("not-allowed", "the key has not the scope rollouts:decide")
    return principal


def unmoved(connection: Connection, standing: Standing, tag: str) -> None:
    """Raises Problem when the rollout is not as who sent `tag` has seen it, saying what changed."""
    look = kept.newest(connection, standing.name)
    seen, now = tag.strip().removeprefix("W/").strip('"'), mark(standing, look)
    if seen == "*" or seen.rpartition(".")[0] == now:
        return
    raise Problem(
        "stale-rollout",
        f"{standing.name} is {standing.state.place.kind} after decision {standing.state.seq} now",
        errors=list(_changed(standing, look, seen.split("."), now.split("."))),
        headers={"ETag": etag(standing, look)},
    )


def _changed(
    standing: Standing, look: Kept | None, seen: Sequence[str], now: Sequence[str]
) -> Iterator[dict[str, str]]:
    """What was decided, written and found since `seen`; the parts are those of the mark."""
    given = seen[0]
    after = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
    for line in lines(standing):
        if line.seq > after:
            detail = f"{line.signal} by {line.who}: {line.because}"
            yield {"pointer": f"/decisions/{line.seq}", "detail": detail}
    waiting = standing.waiting
    if waiting is not None and seen[1:2] != now[1:2]:
        detail = f"revision {waiting.no} waits for a second person"
        yield {"pointer": f"/revisions/{waiting.no}", "detail": detail}
    if look is not None and seen[2:3] != now[2:3]:
        for each in look.record.judged:
            where = f"/metrics/{each.metric}{f'/{each.slice}' if each.slice else ''}"
            yield {"pointer": where, "detail": f"{each.arm}: {word(each.verdict)} now"}


def if_match(request: Request) -> str:
    """The tag that the caller has seen. Raises Problem where there is none."""
    found = request.headers.get("if-match", "")
    if not found:
        raise Problem("if-match-required")
    return found


def reasoned(reason: str) -> str:
    """Raises Problem where there is none."""
    if not reason.strip():
        fault = {"pointer": "reason", "detail": "it says why, and stands in the log for ever"}
        raise Problem("bad-decision", "a decision needs a reason", errors=[fault])
    return reason


def person(who: Principal, reason: str) -> Person:
    """Who decides: the key, by its name. Raises Problem for a reason that cannot be kept."""
    return answering(
        lambda: Person(name=who.name, reason=reason, via="web"), bad_input="bad-decision"
    )


def answer(found: Any, *, headers: Mapping[str, str] | None = None) -> Response:
    """A struct as JSON."""
    return Response(
        msgspec.json.encode(found), headers=dict(headers or {}), media_type="application/json"
    )
