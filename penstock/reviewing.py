"""Reviews for the command line and the web: what waits for a person, and what a person says."""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from penstock import masking
from penstock.masking import Mask
from penstock.rollouts import Store
from rollout import reviewing, reviews
from rollout.reviews import Review, Saying, State
from streams.db.engine import reading, writing


class ReviewView(Struct, frozen=True, kw_only=True):
    """A proposed answer and what became of it. Times are domain time, ms.

    `proposed` is the answer in short, `answer` the event as the service sent it, as long as the
    request's data is kept, with what the model declares sensitive masked. `probability` is that
    with which the answer was chosen to be looked at: 1. Whoever refused may have said the right
    `label`.
    """

    id: str
    state: State
    model: str
    rollout: str
    prediction_id: str
    version: str
    proposed: str
    opened_ms: int
    deadline_ms: int
    closed_ms: int | None
    by: str | None
    reason: str | None
    label: str | None
    probability: float
    answer: dict[str, Any] | None


def view(found: Review, mask: Mask) -> ReviewView:
    """A review as people see it."""
    answer = None
    if found.answer is not None:
        answer = mask(found.model, msgspec.json.decode(found.answer, type=dict))
    return ReviewView(
        id=found.id, state=found.state, model=found.model, rollout=found.rollout,
        prediction_id=found.prediction_id, version=found.version, proposed=_short(answer),
        opened_ms=found.opened_ms, deadline_ms=found.deadline_ms, closed_ms=found.closed_ms,
        by=found.by, reason=found.reason, label=found.label, probability=found.probability,
        answer=answer,
    )  # fmt: skip


def listed(
    here: Store,
    *,
    state: State | None,
    rollout: str | None = None,
    models: Collection[str] | None = None,
    after: str | None = None,
    limit: int,
    sensitive: bool = False,
) -> list[ReviewView]:
    """Reviews of these models (None: all), those first whose time is over first.

    Args:
        sensitive: whether what is declared so is shown, here and below.

    Raises InputError where `after` is no review.
    """
    with reading(here.engine) as connection:
        place = None
        if after is not None:
            last = reviewing.known(connection, after)
            place = last.deadline_ms, last.id
        found = reviews.listed(
            connection, state=state, rollout=rollout, models=models, after=place, limit=limit
        )
        mask = _mask(connection, sensitive=sensitive)
        return [view(each, mask) for each in found]


def known(here: Store, id: str, *, sensitive: bool = False) -> ReviewView:
    """Raises InputError where there is no such review."""
    with reading(here.engine) as connection:
        found = reviewing.known(connection, id)
        return view(found, _mask(connection, sensitive=sensitive))


def say(here: Store, id: str, saying: Saying) -> ReviewView:
    """The review is as `saying` says, for ever; see `rollout.reviewing.say`."""
    with writing(here.engine) as connection:
        return said(connection, here, id, saying)


def said(
    connection: Connection, here: Store, id: str, saying: Saying, *, sensitive: bool = False
) -> ReviewView:
    """The same, in the caller's transaction."""
    now_ms, wall_ms = here.clock.domain_ms(), here.clock.wall_ms()
    found = reviewing.say(connection, id, saying, now_ms=now_ms, wall_ms=wall_ms)
    return view(found, _mask(connection, sensitive=sensitive))


def _mask(connection: Connection, *, sensitive: bool) -> Mask:
    return masking.unmasked if sensitive else masking.by_declaration(connection)


def _short(answer: dict[str, Any] | None) -> str:
    """What was answered, on one line."""
    output = (answer or {}).get("output")
    if not isinstance(output, dict):
        return ""
    label = output.get("label")
    if label is None and isinstance(scores := output.get("scores"), dict) and scores:
        label = max(scores, key=lambda name: (scores[name], name))
    told = [label, output.get("score"), output.get("value"), output.get("text")]
    if output.get("boxes") is not None:
        told.append(f"{len(output['boxes'])} boxes")
    return " ".join(str(each) for each in told if each is not None)[:80]
