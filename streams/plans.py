"""Plans: frozen, append-only instructions to intake, and the snapshot intake works under.

A plan is committed before any event can need it, and holds from its `from_ms` on, in event
time; so which plan an event is counted under does not depend on when it is processed.
"""

from bisect import bisect_right
from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, insert, select

from streams.models import Declaration, observed
from streams.tables import plan as plan_table

MODEL = "model"
EPOCH = "epoch"


class Plan(msgspec.Struct, frozen=True):
    """One row of the plan table."""

    seq: int
    kind: str
    id: str
    body: bytes
    from_ms: int
    to_ms: int | None
    created_ms: int
    created_by: str


class EpochPlan(msgspec.Struct, frozen=True):
    """Events of this model, route and route version are evidence of `epoch`.

    `salt` draws the units' points (`streams.hashing.assignment_point`); None: units are requests.
    """

    model: str
    route: str
    route_version: int
    epoch: int
    salt: str | None = None


def append(
    connection: Connection, *, kind: str, id: str, body: bytes, from_ms: int, now_ms: int, by: str
) -> int:
    """The plan is stored; returns its sequence number."""
    row = connection.execute(
        insert(plan_table)
        .values(kind=kind, id=id, body=body, from_ms=from_ms, created_ms=now_ms, created_by=by)
        .returning(plan_table.c.seq)
    )
    return int(row.scalar_one())


def latest(connection: Connection, kind: str, id: str) -> Plan | None:
    """The newest plan of this kind and id."""
    row = connection.execute(
        select(plan_table)
        .where(plan_table.c.kind == kind, plan_table.c.id == id)
        .order_by(plan_table.c.seq.desc())
        .limit(1)
    ).first()
    return None if row is None else Plan(*row)


def read(connection: Connection, *, after_seq: int = 0) -> list[Plan]:
    """Every plan with a larger sequence number, oldest first."""
    rows = connection.execute(
        select(plan_table).where(plan_table.c.seq > after_seq).order_by(plan_table.c.seq)
    )
    return [Plan(*row) for row in rows]


class Revisions:
    """One model's declarations in order of their start."""

    def __init__(self, model: str) -> None:
        self._starts: list[int] = [-1]
        self._declarations: list[Declaration] = [observed(model)]

    def add(self, from_ms: int, declaration: Declaration) -> None:
        """`declaration` holds from `from_ms` on; a later one with the same start replaces it."""
        at = bisect_right(self._starts, from_ms)
        self._starts.insert(at, from_ms)
        self._declarations.insert(at, declaration)

    def at(self, event_ms: int) -> Declaration:
        """The declaration that an event of this time is counted under."""
        return self._declarations[bisect_right(self._starts, event_ms) - 1]

    def between(self, low_ms: int, high_ms: int) -> Declaration | None:
        """The one declaration that holds over the whole span, or None when it changes within."""
        low = bisect_right(self._starts, low_ms)
        return self._declarations[low - 1] if low == bisect_right(self._starts, high_ms) else None

    @property
    def newest(self) -> Declaration:
        return self._declarations[-1]


class Plans:
    """All plans up to `seq`, in the shape that intake asks for."""

    def __init__(self) -> None:
        self.seq = 0
        self.epochs: dict[tuple[str, str, int], int] = {}
        self.salts: dict[int, str] = {}  # of the epochs whose units are not requests
        self._models: dict[str, Revisions] = {}

    def extend(self, plans: Iterable[Plan]) -> None:
        """These plans, which follow the ones already here, hold too."""
        for plan in plans:
            self.seq = max(self.seq, plan.seq)
            if plan.kind == MODEL:
                declaration = msgspec.json.decode(plan.body, type=Declaration)
                self._models.setdefault(plan.id, Revisions(plan.id)).add(plan.from_ms, declaration)
            elif plan.kind == EPOCH:
                epoch = msgspec.json.decode(plan.body, type=EpochPlan)
                self.epochs[epoch.model, epoch.route, epoch.route_version] = epoch.epoch
                if epoch.salt is not None:
                    self.salts[epoch.epoch] = epoch.salt

    def model(self, name: str) -> Revisions:
        """The declarations of `name`; an unknown model is observed."""
        revisions = self._models.get(name)
        if revisions is None:
            revisions = self._models[name] = Revisions(name)
        return revisions
