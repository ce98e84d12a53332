"""Rollouts, their specs and their decisions, as rows."""

import secrets

from msgspec import Struct
from sqlalchemy import Connection, delete, func, select

from rollout import spec as specs
from rollout.courses import FINAL, Course, Kind, course
from rollout.decisions import Decision, canonical, decoded
from rollout.spec import Rollout
from rollout.states import State, folded
from rollout.tables import decision, rollout, rollout_live, rollout_revision
from streams.db import bulk
from streams.errors import ConflictError, InputError
from streams.messages import Head

_newest = (
    select(decision.c.rollout, func.max(decision.c.seq).label("seq"))
    .group_by(decision.c.rollout)
    .subquery()
)
_NEWEST = (
    select(rollout.c.name, decision.c.body)
    .outerjoin(_newest, _newest.c.rollout == rollout.c.name)
    .outerjoin(
        decision, (decision.c.rollout == _newest.c.rollout) & (decision.c.seq == _newest.c.seq)
    )
    .order_by(rollout.c.created_ms.desc(), rollout.c.name)
)
"""Every rollout with the newest decision about it, if there is one."""


class Revision(Struct, frozen=True, kw_only=True):
    """A spec as it was written; `no` counts from 1."""

    no: int
    digest: str
    body: bytes
    reason: str
    created_ms: int
    created_by: str


class Standing(Struct, frozen=True, kw_only=True):
    """A rollout as its rows tell: who made it, the specs, the decisions and where they led."""

    name: str
    model: str
    route: str
    salt: str
    created_ms: int
    created_by: str
    revisions: tuple[Revision, ...]
    decisions: tuple[Decision, ...]
    state: State

    @property
    def revision(self) -> Revision:
        """The one that holds."""
        return next(r for r in reversed(self.revisions) if r.digest == self.state.revision)

    @property
    def waiting(self) -> Revision | None:
        """The newest one, while it waits for a second person."""
        newest = self.revisions[-1]
        ended = self.state.place.kind in FINAL
        return None if ended or newest.no == self.revision.no else newest

    @property
    def declared(self) -> Rollout:
        """The spec that holds."""
        return specs.decoded(self.revision.body)

    @property
    def course(self) -> Course:
        return course(self.declared.spec)

    @property
    def authors(self) -> frozenset[str]:
        """Who made the rollout, and who wrote the revision that holds."""
        return frozenset({self.created_by, self.revision.created_by})

    def course_of(self, digest: str) -> Course:
        """The course of another of its revisions."""
        [body, *_] = [each.body for each in self.revisions if each.digest == digest]
        return course(specs.decoded(body).spec)

    @property
    def left(self) -> tuple[str, ...]:
        """The challengers that are not out, in the spec's order."""
        refs = (ref.version for ref in self.declared.spec.challengers)
        return tuple(arm for arm in refs if arm not in self.state.dropped)


class Summary(Struct, frozen=True, kw_only=True):
    """One line of the list of rollouts."""

    rollout: str
    model: str
    route: str
    stage: Kind
    seq: int
    changed_ms: int


def create(
    connection: Connection,
    declared: Rollout,
    *,
    reason: str,
    now_ms: int,
    by: str,
    salt: str | None = None,
) -> None:
    """The rollout is a draft, and draws by `salt`: one of its own, unless it is to be told again.

    Raises ConflictError where its name is taken.
    """
    name = declared.metadata.name
    row = {
        "name": name, "model": declared.spec.model, "route": declared.spec.route,
        "salt": salt or secrets.token_hex(8), "created_ms": now_ms, "created_by": by,
    }  # fmt: skip
    if not bulk.added(connection, rollout, row):
        raise ConflictError(
            f"there is a rollout {name!r} already",
            why="a name stands for one rollout for ever: its decisions carry it",
            fix=f"penstock rollout edit {name} changes it; another one needs another metadata.name",
        )
    add_revision(connection, declared, no=1, reason=reason, now_ms=now_ms, by=by)


def add_revision(
    connection: Connection, declared: Rollout, *, no: int, reason: str, now_ms: int, by: str
) -> None:
    """The spec is revision `no`. Raises ConflictError when another took that number meanwhile."""
    name = declared.metadata.name
    row = {
        "rollout": name, "no": no, "digest": specs.digest(declared),
        "body": specs.canonical(declared), "reason": reason, "created_ms": now_ms,
        "created_by": by,
    }  # fmt: skip
    if not bulk.added(connection, rollout_revision, row):
        raise _moved(name)


def standing(connection: Connection, name: str) -> Standing:
    """The rollout `name`. Raises InputError where there is none."""
    row = connection.execute(select(rollout).where(rollout.c.name == name)).first()
    if row is None:
        raise InputError(
            f"there is no rollout {name!r}", field="rollout", fix="penstock rollout list names them"
        )
    revisions = tuple(
        Revision(**found)
        for found in connection.execute(
            select(*(c for c in rollout_revision.c if c.name != "rollout"))
            .where(rollout_revision.c.rollout == name)
            .order_by(rollout_revision.c.no)
        ).mappings()
    )
    decisions = tuple(decoded(body) for body in log(connection, name))
    begun = State(rollout=name, revision=revisions[0].digest)
    return Standing(
        **row._mapping,
        revisions=revisions,
        decisions=decisions,
        state=folded(begun, decisions),
    )


def log(connection: Connection, name: str) -> list[bytes]:
    """The canonical bytes of every decision about `name`, oldest first."""
    rows = connection.execute(
        select(decision.c.body).where(decision.c.rollout == name).order_by(decision.c.seq)
    )
    return [bytes(row.body) for row in rows]


def append(connection: Connection, made: Decision, *, begins_epoch: int | None) -> bool:
    """The decision is stored; False when another took its number, or its epoch's, meanwhile."""
    row = {
        "rollout": made.rollout, "seq": made.seq, "at_ms": made.at_ms,
        "begins_epoch": begins_epoch, "body": canonical(made),
    }  # fmt: skip
    return bulk.added(connection, decision, row)


def next_epoch(connection: Connection) -> int:
    """A number that no epoch of this installation has."""
    return 1 + (connection.execute(select(func.max(decision.c.begins_epoch))).scalar() or 0)


def take_route(connection: Connection, taker: Standing) -> None:
    """The rollout has its route until `leave_route`. Raises ConflictError while another has it."""
    row = {"model": taker.model, "route": taker.route, "rollout": taker.name}
    if bulk.added(connection, rollout_live, row):
        return
    other = holder(connection, taker.model, taker.route)
    raise ConflictError(
        f"route {taker.route!r} of {taker.model!r} has a live rollout: {other or 'another one'}",
        why="two at once would take each other's units",
        fix="wait until it has ended, or roll it back: penstock rollout list",
    )


def leave_route(connection: Connection, taker: Standing) -> None:
    """The route is free."""
    connection.execute(delete(rollout_live).where(rollout_live.c.rollout == taker.name))


def holder(connection: Connection, model: str, route: str) -> str | None:
    """The rollout that has a route; None: it is free."""
    at = rollout_live.c
    found: str | None = connection.execute(
        select(at.rollout).where(at.model == model, at.route == route)
    ).scalar()
    return found


def live(connection: Connection) -> list[str]:
    """The rollouts that have a route."""
    return sorted(connection.execute(select(rollout_live.c.rollout)).scalars())


def heads(connection: Connection) -> dict[str, Head]:
    """The newest decision about every rollout, and its hash."""
    found = {name: decoded(bytes(body)) for name, body in connection.execute(_NEWEST) if body}
    return {name: Head(made.seq, made.hash) for name, made in sorted(found.items())}


def summaries(connection: Connection) -> list[Summary]:
    """Every rollout, the newest first."""
    rows = connection.execute(_NEWEST.add_columns(*(c for c in rollout.c if c.name != "name")))
    found = []
    for row in rows:
        last = None if row.body is None else decoded(bytes(row.body))
        place = last.after if last else State(rollout=row.name, revision="").place
        found.append(
            Summary(
                rollout=row.name, model=row.model, route=row.route, stage=place.kind,
                seq=last.seq if last else 0,
                changed_ms=last.at_ms if last else row.created_ms,
            )
        )  # fmt: skip
    return found


def _moved(name: str) -> ConflictError:
    return ConflictError(
        f"rollout {name!r} was changed meanwhile", fix=f"look again: penstock rollout get {name}"
    )
