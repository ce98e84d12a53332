"""What closes a review besides its time: a person, or the way back of its rollout."""

from sqlalchemy import Connection, Engine

from rollout import reviews, store
from rollout.courses import weight
from rollout.reviews import Review, Saying, State
from rollout.store import Standing
from streams import registry
from streams.db.engine import reading, writing
from streams.errors import ConflictError, IllegalTransitionError, InputError

LONGEST_LABEL = 120


def say(connection: Connection, id: str, saying: Saying, *, now_ms: int, wall_ms: int) -> Review:
    """The review is as `saying` says, for ever.

    Args:
        now_ms: domain time.

    Raises:
        InputError: there is no such review, or the label cannot be.
        ConflictError: somebody answered before.
        IllegalTransitionError: its time is over, or its rollout went back.
    """
    seen = known(connection, id)
    _check_label(connection, seen, saying)
    if seen.state is State.OPEN and is_over(store.standing(connection, seen.rollout), seen.version):
        raise IllegalTransitionError(
            "a review of a rollout that went back", _verb(saying), why=_BACK, fix=_OTHERS
        )
    if not reviews.answer(connection, id, saying, now_ms=now_ms, wall_ms=wall_ms):
        raise _closed(known(connection, id), saying)
    return known(connection, id)


def known(connection: Connection, id: str) -> Review:
    """The review of this id. Raises InputError where there is none."""
    found = reviews.found(connection, id)
    if found is None:
        raise InputError(f"there is no review {id[:80]!r}", field="review", fix=_OTHERS)
    return found


def settle(engine: Engine, *, now_ms: int, wall_ms: int) -> int:
    """Open reviews that are too late, or whose rollouts went back, are closed; how many were."""
    with reading(engine) as connection:
        gone = [
            (rollout, version)
            for rollout, version in reviews.asking(connection)
            if is_over(store.standing(connection, rollout), version)
        ]
        late = reviews.overdue(connection, now_ms=now_ms)
    if not gone and not late:
        return 0
    with writing(engine) as connection:
        closed = sum(
            reviews.withdraw(connection, *each, now_ms=now_ms, wall_ms=wall_ms) for each in gone
        )
        return closed + reviews.time_out(connection, now_ms=now_ms, wall_ms=wall_ms)


def counts(connection: Connection, seen: Standing) -> dict[tuple[str, State], int]:
    """How many reviews of each version of a rollout are in each state."""
    epochs = {made.published.epoch for made in seen.decisions if made.published is not None}
    found: dict[tuple[str, State], int] = {}
    for (_, version, state), count in reviews.counts(connection, epochs).items():
        found[version, state] = found.get((version, state), 0) + count
    return found


def is_over(standing: Standing, version: str) -> bool:
    """Whether the version is given nothing any more: its answers are not acted on either."""
    state = standing.state
    return version in state.dropped or not weight(standing.course, state.place)


_OTHERS = "penstock review list shows those that are open"
_BACK = "the champion has everything, and its answer is acted on"


def _closed(found: Review, saying: Saying) -> ConflictError | IllegalTransitionError:
    """Why nobody can answer any more."""
    if found.by is not None:
        return ConflictError(
            f"{found.by} {found.state} it before", why=found.reason or "", fix=_OTHERS
        )
    why = _BACK if found.state is State.WITHDRAWN else "its time is over, and the champion acts"
    stage = State.TIMED_OUT if found.state is State.OPEN else found.state
    return IllegalTransitionError(f"a review that is {stage}", _verb(saying), why=why, fix=_OTHERS)


def _verb(saying: Saying) -> str:
    return "a confirmation" if saying.state is State.CONFIRMED else "a refusal"


def _check_label(connection: Connection, seen: Review, saying: Saying) -> None:
    """A label says what would have been right: one of the model's classes, where it names them."""
    label = saying.label
    if label is None:
        return
    if saying.state is not State.REFUSED:
        raise InputError("a label is of a refusal", field="label", rule="only with refuse")
    if not 1 <= len(label) <= LONGEST_LABEL or not label.isprintable():
        raise InputError(f"label is no name of at most {LONGEST_LABEL} characters", field="label")
    classes = registry.show(connection, seen.model)[0].classes
    if classes and label not in classes:
        raise InputError(
            f"{label!r} is no class of {seen.model}",
            field="label",
            fix=f"one of {', '.join(classes[:20])}",
        )
