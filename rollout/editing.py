"""Specs of a rollout over time: drafts, edits, and the second person that a loosening edit needs.

While a rollout is a draft or planned it guards nothing, and its author may write as they like.
"""

from msgspec import Struct
from sqlalchemy import Connection

from rollout import courses, stages, store
from rollout.acting import Ask, act
from rollout.courses import Kind
from rollout.decisions import Decision, Person
from rollout.revisions import Change, changes, loosening
from rollout.spec import Rollout, digest
from rollout.stages import Signal
from rollout.store import Standing
from streams.errors import ConflictError, InputError, NotAllowedError

_FREE = (Kind.DRAFT, Kind.PLANNED)


class Edit(Struct, frozen=True, kw_only=True):
    """What an edit came to; `holds` is false while it waits for a second person."""

    rollout: str
    revision: int
    digest: str
    holds: bool
    changes: tuple[Change, ...]


def create(connection: Connection, declared: Rollout, *, who: Person, now_ms: int) -> Standing:
    """The rollout is a draft. Raises ConflictError where its name is taken."""
    store.create(connection, declared, reason=who.reason, now_ms=now_ms, by=who.name)
    return store.standing(connection, declared.metadata.name)


def edit(
    connection: Connection, declared: Rollout, *, who: Person, now_ms: int, wall_ms: int
) -> Edit:
    """The spec is a revision of its rollout, and holds unless it loosens what is under way.

    Raises:
        InputError: nothing differs, or what no edit may change, or the step where the rollout
            stands would go.
        IllegalTransitionError: the rollout takes no edits any more.
        ConflictError: somebody else edited it meanwhile.
    """
    standing = store.standing(connection, declared.metadata.name)
    found = changes(standing.declared, declared)
    if not found:
        raise InputError(
            f"nothing differs from revision {standing.revision.no}",
            field="spec",
            fix=f"penstock rollout get {standing.name}",
        )
    place = standing.state.place
    after = stages.advance(standing.course, place, Signal.REVISE)
    courses.moved(standing.course, courses.course(declared.spec), after)
    no = standing.revisions[-1].no + 1
    store.add_revision(connection, declared, no=no, reason=who.reason, now_ms=now_ms, by=who.name)
    holds = place.kind in _FREE or not loosening(found)
    if holds:
        _hold(connection, standing, digest(declared), who, now_ms=now_ms, wall_ms=wall_ms)
    return Edit(
        rollout=standing.name, revision=no, digest=digest(declared), holds=holds, changes=found
    )


def confirm(
    connection: Connection, name: str, no: int, *, who: Person, now_ms: int, wall_ms: int
) -> Decision:
    """Revision `no`, which waited for a second person, holds.

    Raises ConflictError unless it is the one that waits, NotAllowedError for its author.
    """
    standing = store.standing(connection, name)
    waiting = standing.waiting
    if waiting is None or waiting.no != no:
        raise ConflictError(
            f"revision {no} of {name!r} does not wait for a second person",
            why=f"revision {waiting.no} does" if waiting else "none does",
            fix=f"look again: penstock rollout get {name}",
        )
    if who.name == waiting.created_by:
        raise NotAllowedError(
            f"{who.name!r} wrote revision {no}, and it loosens what guards the rollout",
            why="that needs a second person",
            fix=f"somebody else: penstock rollout approve {name} --revision {no}",
        )
    return _hold(connection, standing, waiting.digest, who, now_ms=now_ms, wall_ms=wall_ms)


def _hold(
    connection: Connection,
    standing: Standing,
    revision: str,
    who: Person,
    *,
    now_ms: int,
    wall_ms: int,
) -> Decision:
    ask = Ask(
        rollout=standing.name, signal=Signal.REVISE, cause=who, revision=revision,
        seen_seq=standing.state.seq,
    )  # fmt: skip
    return act(connection, ask, now_ms=now_ms, wall_ms=wall_ms)
