"""A rollout of sticky accounts that is watched, and the example through all its steps."""

import random
import uuid
from pathlib import Path

import pytest

from rollout import kept, routes, store
from rollout.acting import Ask, decide
from rollout.assignment import arm_of
from rollout.cells import PLAN, Enrolled, Opened, decoded
from rollout.closer import UnitCloser
from rollout.collector import Rollouts
from rollout.counted import Side
from rollout.courses import Kind
from rollout.enrolment import follows_up
from rollout.opening import freeze
from rollout.spec import read
from rollout.stages import Signal
from rollout.watching import watch
from streams import plans, yamls
from streams.db.engine import reading, writing
from streams.models import Declaration
from streams.topics import EVENTS
from tests.rollout import counting as world
from tests.rollout.test_acting import person
from tests.streams import spine

MODEL = Declaration(model="spam", task="classification", classes=("ham", "spam"))
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
    - {name: errors, from: prediction, stat: rate, margin: {absolute: 0.15}, crash: {ratio: 1.5},
       exposure: 20m}
  guardrails: [errors]
  judge: {plannedUnits: 800}
  blindAfter: 3h
  stages:
    - canary: {weights: [20, 50], dwell: 30m, require: guardrails, min: {units: 60}, deadline: 4d}
"""
NAME, SLICE_MS = "spam-42", 10 * world.MINUTE
EXAMPLE = Path(__file__).parents[2] / "examples" / "fraud"


class Floor:
    """A service whose accounts come twice within minutes; its pass, its closer and its judge."""

    def __init__(self, engine, *, bad):
        self.engine, self.now_ms = engine, spine.T0
        self._bad = {"41": 0.05, "42": bad}
        self._random = random.Random(3)
        self._log = spine.ListLog(spine.Hands(spine.T0), partitions=world.PARTITIONS)
        self._pass = spine.pipeline(self._log, engine, collectors=[Rollouts()])
        self._closer = UnitCloser(engine, partitions=lambda: world.PARTITIONS, topic=EVENTS.name)
        self.made = []

    def pass_by(self, *, accounts=70):
        """Ten minutes: every account is new, and asks twice."""
        with reading(self.engine) as connection:
            (table,) = routes.newest(connection)
        for k in range(accounts):
            account = f"a{self.now_ms}-{k}"
            for at_ms in (self.now_ms + k, self.now_ms + k + SLICE_MS // 2):
                event = self._event(table, account, at_ms)
                self._log.put(world.home_of(event), event["time"], world.lines(event))
        self.now_ms += SLICE_MS
        spine.settle(self._pass, self._log, self.engine)
        while self._closer.step():
            pass
        made = watch(self.engine, NAME, now_ms=self.now_ms, wall_ms=self.now_ms)
        self.made += [made] if made is not None else []

    def _event(self, table, account, at_ms):
        arm = arm_of(table, account, {})
        is_bad = self._random.random() < self._bad[arm.version]
        said = {"error": {"type": "Timeout"}} if is_bad else {"output": {"label": "ham"}}
        pid = str(uuid.UUID(f"{at_ms:012x}7{self._random.getrandbits(76):019x}"[:32]))
        return {
            "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": pid,
            "time": at_ms, "unit_id": account, "version": arm.version, "arm": arm.arm,
            "route_version": table.version, **said,
        }  # fmt: skip


@pytest.fixture
def begun(ready):
    """A rollout in its first canary, as a function of how often the challenger errs."""

    def begin(bad):
        spine.prepare(ready, [(MODEL, spine.T0)])
        with writing(ready) as connection:
            store.create(connection, read(SPEC)[0], reason="r", now_ms=spine.T0, by="ann", salt="s")
        said(ready, NAME, spine.T0, Signal.PLAN, Signal.START)
        return Floor(ready, bad=bad)

    return begin


def said(engine, name, now_ms, *signals, who=None):
    for signal in signals:
        wanted = Ask(rollout=name, signal=signal, cause=who or person("ann"))
        decide(engine, wanted, now_ms=now_ms, wall_ms=now_ms, freezing=freeze)


def bodies(engine, kind):
    with reading(engine) as connection:
        found = [decoded(plan.body) for plan in plans.read(connection) if plan.kind == PLAN]
    return [body for body in found if isinstance(body, kind)]


def test_an_equal_version_grows_once_those_enrolled_are_followed_up(begun):
    floor, followed = begun(bad=0.05), []
    while not floor.made:
        with reading(floor.engine) as connection:
            standing = store.standing(connection, NAME)
            followed.append(follows_up(connection, standing, now_ms=floor.now_ms))
        floor.pass_by()

    (made,) = floor.made
    assert followed == sorted(followed)
    assert followed.count(True) == 20 * world.MINUTE // SLICE_MS
    (ended,) = [body for body in bodies(floor.engine, Enrolled) if body.again_ms is None]
    assert made.signal is Signal.ADVANCE
    assert made.at_ms >= ended.until_ms + 20 * world.MINUTE
    with reading(floor.engine) as connection:
        units = kept.newest(connection, NAME).record.units
    assert units["42"] + units["champion"] <= 70 * (ended.until_ms - spine.T0) // SLICE_MS

    first, second = bodies(floor.engine, Opened)
    assert first.challengers[0].pi == pytest.approx(0.2)
    assert second.challengers[0].pi == pytest.approx(0.3 / 0.8)


def test_a_version_that_crashes_goes_back_before_anybodys_exposure_is_over(begun):
    floor = begun(bad=0.95)
    while not floor.made:
        floor.pass_by()

    (made,) = floor.made
    assert made.signal is Signal.HARM
    assert {judged.n for judged in made.cause.verdicts} == {0}
    with reading(floor.engine) as connection:
        assert store.standing(connection, NAME).state.place.kind is Kind.ROLLING_BACK


def test_the_example_has_an_epoch_for_every_step(ready):
    model = yamls.read((EXAMPLE / "model.yaml").read_bytes(), Declaration, name="model.yaml")
    spine.prepare(ready, [(model, spine.T0)])
    log = spine.ListLog(spine.Hands(spine.T0), partitions=world.PARTITIONS)
    for k in range(150):
        event = {
            "type": "io.penstock.prediction.v1", "model": "fraud-scorer", "route": "checkout",
            "prediction_id": f"r{k}", "version": "41", "unit_id": f"a{k}", "time": spine.T0,
            "latency_ms": 20, "output": {"label": "genuine"},
        }  # fmt: skip
        log.put(k % world.PARTITIONS, spine.T0, world.lines(event))
    spine.settle(spine.pipeline(log, ready), log, ready)
    spec = read((EXAMPLE / "rollout.yaml").read_bytes())[0]
    with writing(ready) as connection:
        store.create(connection, spec, reason="r", now_ms=spine.T0, by="ann", salt="s")

    said(ready, "fraud-42", spine.T0, Signal.PLAN, Signal.START)
    steps = [Signal.ADVANCE] * 5 + [Signal.SIGN] + [Signal.ADVANCE] * 2
    said(ready, "fraud-42", spine.T0, *steps, who=person("bob", "risk-oncall"))

    shadow, *others = bodies(ready, Opened)
    assert all(metric.side is Side.PAIRS for metric in shadow.metrics)
    shares = [(epoch.challengers[0].share, epoch.challengers[0].pi) for epoch in others]
    assert [share for share, _ in shares] == [0.01, 0.02, 0.05, 0.1, 0.5, 1.0]
    grown = [(0.01, 0.99), (0.01, 0.98), (0.03, 0.95), (0.05, 0.9), (0.4, 0.5)]
    assert [pi for _, pi in shares[:5]] == pytest.approx([d / (d + c) for d, c in grown])
    assert shares[5][1] is None  # nobody is the champion's any more
    owned = {epoch.metrics[no].name for epoch in others for no in epoch.owned}
    assert owned == {"latency", "errors", "misses", "revenue"}
