"""A rollout watched from its start to its end: real events, the real pass, judge and decisions."""

import random
import uuid

import pytest
from msgspec.structs import replace

from penstock.exporting import export
from penstock.rollouts import Store
from rollout import kept, readers, routes, store
from rollout.acting import Ask, decide
from rollout.assignment import arm_of
from rollout.collector import Rollouts
from rollout.courses import Kind
from rollout.decisions import Evidence
from rollout.judge import judge, recompute
from rollout.opening import freeze
from rollout.readers import Reader
from rollout.spec import read
from rollout.stages import Signal
from rollout.verifying import verified
from rollout.watching import watch
from streams.db.clock import Clock
from streams.db.engine import reading, writing
from streams.errors import ConflictError
from streams.models import HOUR_MS, Declaration
from tests.rollout import counting as world
from tests.rollout.looking import BEGINS, NAME
from tests.rollout.test_acting import person
from tests.streams import spine

MODEL = Declaration(model="spam", task="classification", classes=("ham", "spam"))
SPEC = (
    BEGINS
    + b"""\
  judge: {plannedUnits: 1500}
  blindAfter: 3h
  stages:
    - canary: {weights: [20, 50], dwell: 30m, require: guardrails, min: {units: 200}, deadline: 4d}
    - full: {probation: 2h}
"""
)
STEP_MS = 10 * world.MINUTE


class Floor:
    """A service that asks the newest table, and time, which passes ten minutes at a time."""

    def __init__(self, engine, *, bad):
        self.engine, self.now_ms = engine, spine.T0
        self._bad = {"41": 0.05, "42": bad}
        self._random = random.Random(7)
        self._log = spine.ListLog(spine.Hands(spine.T0), partitions=world.PARTITIONS)
        self._pass = spine.pipeline(self._log, engine, collectors=[Rollouts()])
        self.made = []

    def pass_by(self, *, requests=150):
        """Ten minutes of requests, counted, then a look."""
        with reading(self.engine) as connection:
            tables = routes.newest(connection)
        for k in range(requests):
            event = self._event(tables, self.now_ms + k * STEP_MS // requests)
            self._log.put(world.home_of(event), event["time"], world.lines(event))
        self.now_ms += STEP_MS
        spine.settle(self._pass, self._log, self.engine)
        made = watch(self.engine, NAME, now_ms=self.now_ms, wall_ms=self.now_ms)
        if made is not None:
            self.made.append(made)
        return made

    def _event(self, tables, at_ms):
        pid = str(uuid.UUID(f"{at_ms:012x}7{self._random.getrandbits(76):019x}"[:32]))
        answer = {"version": "41"}
        if tables:
            arm = arm_of(tables[0], pid, {})
            answer = {"version": arm.version, "arm": arm.arm, "route_version": tables[0].version}
        is_bad = self._random.random() < self._bad[answer["version"]]
        said = {"error": {"type": "Timeout"}} if is_bad else {"output": {"label": "ham"}}
        return {"type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": pid,
                "time": at_ms, **answer, **said}  # fmt: skip


@pytest.fixture
def begun(ready):
    """A rollout in its first canary, as a function of how often the challenger errs."""

    def begin(bad, spec=SPEC):
        spine.prepare(ready, [(MODEL, spine.T0)])
        floor = Floor(ready, bad=bad)
        with writing(ready) as connection:
            store.create(
                connection, read(spec)[0], reason="r", now_ms=spine.T0, by="ann", salt="told again"
            )
        for signal in (Signal.PLAN, Signal.START):
            wanted = Ask(rollout=NAME, signal=signal, cause=person("ann"))
            decide(ready, wanted, now_ms=spine.T0, wall_ms=spine.T0, freezing=freeze)
        return floor

    return begin


def test_a_challenger_that_errs_more_goes_back_by_the_evidence_and_the_look_stays(begun):
    floor = begun(bad=0.4)
    while not floor.made:
        floor.pass_by()

    (made,) = floor.made
    assert (made.signal, made.after.kind) == (Signal.HARM, Kind.ROLLING_BACK)
    assert isinstance(made.cause, Evidence)
    with reading(floor.engine) as connection:
        (seen,) = [each for each in kept.cited(connection, NAME) if each.seq == made.seq]
        (table,) = routes.newest(connection)
    assert {verdict.snapshot for verdict in made.cause.verdicts} == {seen.digest}
    assert recompute(seen.record) == seen.record == judge(seen.record.look)
    assert {arm.version for arm in table.arms if arm.hi > arm.lo} == {"41"}


def test_what_was_decided_from_real_events_proves_itself_in_a_file(begun, tmp_path):
    floor = begun(bad=0.4)
    while not floor.made:
        floor.pass_by()

    export(Store(floor.engine, Clock()), NAME, tmp_path / "spam-42.jsonl")
    found = verified((tmp_path / "spam-42.jsonl").read_bytes())

    assert (found.stage, found.decisions, found.looks) == (Kind.ROLLING_BACK, 3, 1)


def test_a_challenger_that_is_as_good_comes_to_full_weight(begun):
    floor = begun(bad=0.05)
    for _ in range(150):
        floor.pass_by()
        if floor.made and floor.made[-1].after.kind is Kind.DONE:
            break

    assert [made.signal for made in floor.made] == [Signal.ADVANCE, Signal.ADVANCE, Signal.FINISH]
    with reading(floor.engine) as connection:
        assert store.live(connection) == []
        assert routes.newest(connection)[0].champion.version == "42"


@pytest.mark.slow
def test_one_that_keeps_its_margin_and_costs_too_much_goes_back_at_the_end(begun, tmp_path):
    budget = b"  harmBudget: {metric: errors, extra: 40}\n  blindAfter:"
    floor = begun(bad=0.08, spec=SPEC.replace(b"  blindAfter:", budget))
    for _ in range(150):
        floor.pass_by()
        if floor.made and floor.made[-1].after.kind is Kind.ROLLING_BACK:
            break

    assert [made.signal for made in floor.made] == [Signal.ADVANCE, Signal.ADVANCE, Signal.DEADLINE]
    full, back = floor.made[-2:]
    assert back.at_ms - full.at_ms == 4 * HOUR_MS  # twice the probation
    assert back.cause.reasons[0] == "the deadline of probation is over: twice 2h"
    assert "extra bad outcomes, of 40 at most" in back.cause.reasons[1]
    export(Store(floor.engine, Clock()), NAME, tmp_path / "spam-42.jsonl")
    assert verified((tmp_path / "spam-42.jsonl").read_bytes()).stage is Kind.ROLLING_BACK


def test_a_challenger_that_stops_answering_is_blind_and_goes_back(begun):
    floor = begun(bad=0.05)
    floor.pass_by()
    while not floor.made:
        floor.pass_by(requests=0)

    assert floor.made[0].signal is Signal.BLIND
    assert floor.now_ms - spine.T0 >= 3 * 3_600_000


def test_it_is_back_once_every_service_says_so_or_its_table_has_expired(begun):
    floor = begun(bad=0.4)
    with reading(floor.engine) as connection:
        (before,) = routes.newest(connection)

    def heard(name, table, left_ms=10**9):
        said = Reader(
            model="spam", route="default", reader=name, generation=table.generation,
            version=table.version, expires_ms=floor.now_ms + left_ms,
        )  # fmt: skip
        with writing(floor.engine) as connection:
            readers.tell(connection, [said])

    while not floor.made:
        floor.pass_by()
    heard("a", before)
    heard("gone", before, left_ms=STEP_MS // 2)
    assert floor.pass_by(requests=0) is None
    with reading(floor.engine) as connection:
        heard("a", routes.newest(connection)[0])

    assert floor.pass_by(requests=0).after.kind is Kind.ROLLED_BACK


def test_of_two_who_look_at_once_one_keeps_what_it_saw(begun):
    floor = begun(bad=0.05)
    floor.pass_by()
    with reading(floor.engine) as connection:
        before = kept.newest(connection, NAME)
    floor.pass_by()

    with writing(floor.engine) as connection, pytest.raises(ConflictError, match="somebody else"):
        kept.replace(connection, NAME, before, before)


def test_a_decision_by_evidence_that_is_not_the_newest_is_not_made(begun):
    floor = begun(bad=0.4)
    while not floor.made:
        floor.pass_by()
    made = floor.made[0]
    with writing(floor.engine) as connection:
        elsewhere = kept.newest(connection, NAME)
        kept.replace(connection, NAME, elsewhere, replace(elsewhere, digest="sha256:other"))

    with writing(floor.engine) as connection, pytest.raises(ConflictError, match="has moved"):
        kept.cite(connection, made)
