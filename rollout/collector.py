"""The rollouts' collector: which cells of which epoch each fact adds to.

A request belongs to the epoch of the route version that it carries. One without any serves paired
evidence only, of the epoch that is open at its time. What is stale, astray or of no arm is counted
in the epoch's split, and is evidence of nothing else.
"""

import msgspec
import numpy as np
from sqlalchemy import Connection

from rollout import folding, partials, reviews, units
from rollout.cells import PLAN, Closed, Opened, decoded
from rollout.epoch_index import NEVER_MS, Epoch, Epochs, epochs_of, indexed
from rollout.partials import Bad, Row
from rollout.proposals import Asked
from streams import codes, counters, plans
from streams.counters import Deltas
from streams.facts import Facts
from streams.plans import EpochPlan


class Found(msgspec.Struct):
    """What facts add: to cells, to what is known of sticky units, and what they ask people."""

    cells: Deltas
    partials: list[Row]
    bad: list[Bad]
    asked: list[Asked]


_NOBODY = -2  # stands for a name without a number: no row has it


class Rollouts:
    """A collector; what it counts is read by `rollout.judge`."""

    name = "rollout"

    def plans(self, connection: Connection) -> Epochs:
        """The epochs that there are, with the numbers of their names."""
        stored = plans.read(connection)
        bodies = [decoded(plan.body) for plan in stored if plan.kind == PLAN]
        routes = [
            msgspec.json.decode(plan.body, type=EpochPlan)
            for plan in stored
            if plan.kind == plans.EPOCH
        ]
        closed = {body.epoch: body.closes_ms for body in bodies if isinstance(body, Closed)}
        numbers = _Numbers(connection)
        found = [
            numbers.epoch(body, closed.get(body.epoch, NEVER_MS))
            for body in bodies
            if isinstance(body, Opened)
        ]
        return indexed(found, routes)

    def collect(self, facts: Facts, plans: Epochs) -> Found:
        """What these facts add to the cells and units of every epoch."""
        found = Found(Deltas(), [], [], [])
        if not plans.by_number:
            return found
        if len(facts.answers):
            of = epochs_of(facts.answers, plans)
            for number in np.unique(of[of > 0]).tolist():
                epoch = plans.by_number[number]
                fold = folding.Fold(facts, epoch, of == number, found.cells)
                fold.collect()
                if epoch.opened.confirm_ms and facts.proposed:
                    found.asked += fold.asked()
                if epoch.opened.sticky:
                    of_units, bad = fold.units()
                    found.partials += of_units
                    found.bad += bad
        if facts.reported:
            found.partials += partials.reported(facts, plans)
        folding.assigned(facts, plans, found.cells)
        return found

    def save(self, connection: Connection, deltas: Found) -> None:
        counters.save(connection, deltas.cells)
        units.save(connection, deltas.partials, deltas.bad)
        reviews.ask(connection, deltas.asked)


class _Numbers:
    """Numbers of names, each kind read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, int], dict[str, int]] = {}

    def epoch(self, opened: Opened, closes_ms: int) -> Epoch:
        model_no = self._of("model", opened.model)
        versions = [opened.champion, *(one.version for one in opened.challengers)]
        arms = ["champion", *(one.arm for one in opened.challengers)]
        return Epoch(
            opened,
            closes_ms,
            model_no,
            self._of("route", opened.route),
            tuple(self._of("version", version, model_no) for version in versions),
            tuple(self._of("arm", arm) for arm in arms),
            {
                self._of("feedback", opened.metrics[no].name): no
                for no in opened.owned
                if opened.metrics[no].source == "feedback"
            },
        )

    def _of(self, kind: str, name: str, scope: int = 0) -> int:
        if (kind, scope) not in self._known:
            named = codes.names(self._connection, kind, scope)
            self._known[kind, scope] = {name: no for no, name in named.items()}
        return self._known[kind, scope].get(name, _NOBODY)
