"""Pairs of sticky units: one of each unit counts, whichever events came on which partition."""

import random
import uuid

import numpy as np
import pytest

from evidence.names import Pair
from rollout import kept, store
from rollout.cells import EVERYWHERE, Opened
from rollout.closer import UnitCloser
from rollout.collector import Rollouts
from rollout.counted import Side
from rollout.courses import Kind
from rollout.spec import read
from rollout.stages import Signal
from rollout.unit_pairs import layout, vectors
from rollout.unit_values import Unit
from rollout.watching import watch
from streams.db.engine import reading, writing
from streams.models import Declaration
from streams.topics import EVENTS
from tests.rollout import counting, sticky
from tests.rollout.test_watching_units import bodies, said
from tests.streams import spine

EQUAL, WORSE = 1 + Pair.EQUAL, 1 + Pair.CHALLENGER_WRONG


def number(name):
    return next(no for no, metric in enumerate(sticky.EPOCH.metrics) if metric.name == name)


def sums_of(name, per_unit, *, units):
    """`units` of the same pairs: {(challenger, stratum, column): how many}."""
    no = number(name)
    metric = sticky.EPOCH.metrics[no]
    row = np.zeros(layout(sticky.EPOCH).width, np.int64)
    for (k, stratum, column), count in per_unit.items():
        place = (k * len(metric.q) + stratum) * metric.columns + column
        row[layout(sticky.EPOCH).places[no] + place] = count
    found = vectors(
        sticky.EPOCH, no, [Unit(u, 0, -2, 0) for u in range(units)], np.tile(row, (units, 1))
    )
    cells = found[sticky.EPOCH.what(no, EVERYWHERE)].reshape(2, len(metric.q), -1)
    return cells, found[sticky.EPOCH.pairs_of(no)].tolist()


def test_each_pair_of_a_unit_is_as_likely_as_any_other():
    units = 4_000
    said = {(0, 0, 0): 10, (0, 0, EQUAL): 7, (0, 0, WORSE): 2}  # ten pairs; one without an outcome

    cells, seen = sums_of("mistakes", said, units=units)

    assert cells[0, 0, 0] == units
    shares = np.array([cells[0, 0, EQUAL], cells[0, 0, WORSE]]) / units
    assert shares == pytest.approx([0.7, 0.2], abs=0.03)
    assert not cells[1].any()
    assert seen == [10 * units, 9 * units, 0, 0]


def test_strata_of_audits_keep_their_share_of_a_units_pairs():
    units = 4_000
    said = {(1, 0, 0): 3, (1, 0, EQUAL): 3, (1, 1, 0): 1, (1, 1, WORSE): 1}

    cells, _ = sums_of("defects", said, units=units)

    assert cells[1, :, 0] / units == pytest.approx([0.75, 0.25], abs=0.03)
    assert cells[1, 1, WORSE] == cells[1, 1, 0]


def test_audits_of_a_units_pairs_are_those_that_somebody_told_of():
    unseen = sticky.EPOCH.metrics[number("defects")].unseen
    said = {(0, 0, 0): 20, (0, 0, unseen): 12, (0, 0, EQUAL): 5, (0, 1, 0): 2, (0, 1, WORSE): 1}

    _, seen = sums_of("defects", said, units=10)

    assert seen == [220, 60, 0, 0]


SPEC = b"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {name: spam-42}
spec:
  model: spam
  route: default
  champion: {version: "41"}
  challengers: [{version: "42"}]
  assignment: {unit: account}
  metrics:
    - {name: errors, from: prediction, stat: rate, margin: {absolute: 0.2}, exposure: 20m}
    - {name: disagreement, from: pair, ceiling: 0.3}
  guardrails: [errors]
  judge: {plannedUnits: 400}
  stages:
    - shadow: {require: [disagreement, errors], min: {pairs: 600}, deadline: 4d}
    - canary: {weights: [20], dwell: 30m, require: guardrails, deadline: 4d}
"""
SLICE_MS = 10 * counting.MINUTE


class Floor:
    """A service without a route table: accounts that ask five times, both versions answer."""

    def __init__(self, engine):
        self._engine, self.now_ms = engine, spine.T0
        self._random = random.Random(5)
        self._log = spine.ListLog(spine.Hands(spine.T0), partitions=counting.PARTITIONS)
        self._pass = spine.pipeline(self._log, engine, collectors=[Rollouts()])
        self._closer = UnitCloser(engine, partitions=lambda: counting.PARTITIONS, topic=EVENTS.name)

    def pass_by(self, *, accounts):
        for k in range(accounts):
            for ask in range(5):
                at_ms = self.now_ms + 1_000 * ask + k
                pid = str(uuid.UUID(f"{at_ms:012x}7{self._random.getrandbits(76):019x}"))
                other = "spam" if self._random.random() < 0.05 else "ham"
                for version, role, label in (("41", "live", "ham"), ("42", "shadow", other)):
                    event = {
                        "type": "io.penstock.prediction.v1", "model": "spam", "role": role,
                        "prediction_id": pid, "time": at_ms, "version": version,
                        "unit_id": f"a{self.now_ms}-{k}", "output": {"label": label},
                    }  # fmt: skip
                    self._log.put(counting.home_of(event), at_ms, counting.lines(event))
        self.now_ms += SLICE_MS
        spine.settle(self._pass, self._log, self._engine)
        while self._closer.step():
            pass
        return watch(self._engine, "spam-42", now_ms=self.now_ms, wall_ms=self.now_ms)


def test_a_shadow_of_accounts_is_left_on_accounts_and_its_floor_is_of_pairs(ready):
    spine.prepare(
        ready,
        [
            (
                Declaration(
                    model="spam", task="classification", classes=("ham", "spam"), pair_horizon="10m"
                ),
                spine.T0,
            )
        ],
    )
    with writing(ready) as connection:
        store.create(connection, read(SPEC)[0], reason="r", now_ms=spine.T0, by="ann", salt="s")
    said(ready, "spam-42", spine.T0, Signal.PLAN, Signal.START)
    floor = Floor(ready)

    made = next(made for _ in range(20) if (made := floor.pass_by(accounts=30)) is not None)

    assert made.signal is Signal.ADVANCE
    with reading(ready) as connection:
        (look,) = [each.record.look for each in kept.cited(connection, "spam-42")]
        assert store.standing(connection, "spam-42").state.place.kind is Kind.CANARY
    shadow = bodies(ready, Opened)[0]
    judged = {each.metric: each for each in made.cause.verdicts}
    assert {metric.side for metric in shadow.metrics} == {Side.PAIRS}
    seen = [int(look.vector(shadow.pairs_of(no))[0]) for no in range(2)]
    assert [judged[metric.name].n * 5 for metric in shadow.metrics] == seen
    assert max(seen) >= 600
