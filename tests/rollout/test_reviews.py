"""Proposed answers of a supervised stage: who is asked, who is first, and what it counts as."""

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from penstock.exporting import export
from penstock.migrations import upgrade
from penstock.rollouts import Store
from rollout import reviewing, reviews, store, tables
from rollout.acting import Ask, decide
from rollout.cells import SPLIT
from rollout.collector import Rollouts
from rollout.courses import Kind
from rollout.epochs import Start, opened
from rollout.knowledge import reached
from rollout.looks import look_at
from rollout.opening import close_epoch, freeze, open_epoch
from rollout.proposals import Asked, review_id
from rollout.reviews import Saying, State
from rollout.spec import Scope, read
from rollout.stages import Signal
from rollout.verifying import verified
from rollout.watching import watch
from streams import counters, messages
from streams.db.clock import Clock
from streams.db.engine import connect, reading, writing
from streams.errors import ConflictError, IllegalTransitionError, InputError
from streams.plans import EpochPlan
from streams.tables import counter, outbox
from tests.laws import laws
from tests.rollout import counting as world
from tests.rollout import sticky
from tests.rollout.looking import BEGINS, NAME
from tests.rollout.test_acting import person
from tests.streams import spine

CONFIRM_MS = 10 * world.MINUTE
SUPERVISED = opened(
    read(world.SPEC)[0].spec,
    world.MODEL,
    Start(
        rollout="r1", epoch=1, opens_ms=0, salts=world.SALTS, shares=(0.3, 0.2),
        scope=Scope(tag="country", values=("BR",)), confirm_ms=CONFIRM_MS,
    ),
    world.FIGURES,
)  # fmt: skip
CLOSES_MS = spine.T0 + 60 * world.MINUTE
BY_ARM = [[each for each in world.IDS if world.arm_of(each) == arm] for arm in range(3)]
YES = Saying(state=State.CONFIRMED, by="ann", reason="right")
NO = Saying(state=State.REFUSED, by="bob", reason="wrong", label="ham")


class Supervised(spine.Databases):
    """Databases in which a supervised epoch of the world of `counting` has begun."""

    def begun(self):
        closed = world.Closed(rollout="r1", epoch=1, closes_ms=CLOSES_MS)
        with writing(self._engine) as connection:
            open_epoch(connection, SUPERVISED, now_ms=0)
            close_epoch(connection, closed, now_ms=0)
        routes = [EpochPlan("spam", "default", 7, 1)]
        return self.prepare([(world.MODEL, spine.T0 - 60 * world.MINUTE)], routes)


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    made = Supervised(f"sqlite:///{folder / 'template.db'}", folder)
    yield made.begun()
    made.dispose()


@pytest.fixture
def blank(tmp_path):
    """A database in which nothing has begun."""
    url = f"sqlite:///{tmp_path / 'blank.db'}"
    upgrade(url)
    engine = connect(url)
    yield engine
    engine.dispose()


def answered(request, *, arm=None, version=None, role="proposed", after_ms=0, **fields):
    arm = world.arm_of(request) if arm is None else arm
    now_ms = spine.T0 + after_ms
    event = {
        "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": request,
        "role": role, "version": version or world.VERSIONS[arm], "arm": world.ARMS[arm],
        "route_version": 7, "tags": {"country": "BR"}, "output": {"label": "spam"},
        "latency_ms": 5, "time": now_ms, "appended": now_ms,
    }  # fmt: skip
    return {name: value for name, value in (event | fields).items() if value is not None}


def counted(databases, history, cuts=()):
    """(the reviews as they stand, cells by counter) after these events."""
    log = spine.ListLog(spine.Hands(), partitions=world.PARTITIONS)
    for event in history:
        log.clock.now_ms = max(log.clock.now_ms, event["appended"])
        log.put(world.home_of(event), event["appended"], world.lines(event))
    log.cuts.extend(cuts)
    with databases.fresh() as engine:
        spine.settle(spine.pipeline(log, engine, collectors=[Rollouts()]), log, engine)
        with reading(engine) as connection:
            found = connection.execute(select(tables.review).order_by(tables.review.c.id)).all()
            rows = connection.execute(select(counter)).all()
    cells = {}
    for row in rows:
        vector = counters.vector(row.cells)
        cells[row.what] = cells.get(row.what, np.zeros(len(vector), np.int64)) + vector
    return [dict(row._mapping) for row in found], cells


def asked(databases, *history):
    return [(each["prediction_id"], each["version"]) for each in counted(databases, history)[0]]


ONE, TWO, CHAMPIONS = BY_ARM[1][0], BY_ARM[2][0], BY_ARM[0][0]


def test_a_proposed_answer_asks_with_all_that_was_sent_until_its_time_by_the_logs_clock(databases):
    event = answered(ONE, features={"amount": 12}, time=spine.T0 - 3_600_000)

    [found], _ = counted(databases, [event])

    assert msgspec.json.decode(found.pop("answer"))["features"] == {"amount": 12}
    assert found == {
        "id": review_id("spam", ONE), "model": "spam", "rollout": "r1", "epoch": 1,
        "prediction_id": ONE, "version": "42", "probability": 1.0, "opened_ms": spine.T0,
        "deadline_ms": spine.T0 + CONFIRM_MS, "state": "open", "by": None, "reason": None,
        "label": None, "closed_ms": None,
    }  # fmt: skip


NOBODY = {
    "acted on": answered(ONE, role="live"),
    "shadow": answered(ONE, role="shadow"),
    "champion's": answered(CHAMPIONS),
    "champion's in another's lane": answered(ONE, version="41"),
    "another's lane": answered(CHAMPIONS, arm=1),
    "another's arm": answered(ONE, version="43"),
    "no route version": answered(ONE, route_version=None),
    "another route version": answered(ONE, route_version=9),
    "an error": answered(ONE, output=None, error={"type": "Timeout"}),
    "after its epoch": answered(ONE, after_ms=CLOSES_MS - spine.T0),
}


@pytest.mark.parametrize("event", NOBODY.values(), ids=NOBODY)
def test_nobody_is_asked_about(databases, event):
    assert asked(databases, event) == []


def test_of_two_versions_that_propose_an_answer_to_a_request_the_arms_own_asks(databases):
    both = [answered(ONE, version="43"), answered(ONE)]

    assert asked(databases, *both) == asked(databases, *reversed(both)) == [(ONE, "42")]


@st.composite
def histories(draw):
    """Proposed, live and shadow answers of any arm, some of them twice."""
    found = []
    for _ in range(draw(st.integers(1, 12))):
        if found and draw(st.integers(0, 3)) == 0:
            found.append(draw(st.sampled_from(found)))
            continue
        found.append(
            answered(
                draw(st.sampled_from(world.IDS)), arm=draw(st.sampled_from([None, None, 0, 1])),
                role=draw(st.sampled_from(["proposed", "proposed", "live", "shadow"])),
                version=draw(st.sampled_from([None, None, "41", "people"])),
                after_ms=draw(st.sampled_from([0, 1_000, 70 * world.MINUTE])),
            )
        )  # fmt: skip
    return sorted(found, key=lambda each: each["appended"])


def naively(history):
    """Who is asked: of each request and version only the first answer is one at all."""
    seen, found = set(), {}
    for event in history:
        request, version = event["prediction_id"], event["version"]
        is_first = (request, version) not in seen
        seen.add((request, version))
        own = version == event["arm"] and version in ("42", "43")
        in_lane = request not in world._IDS or world.ARMS[world.arm_of(request)] == version
        in_time = event["time"] < CLOSES_MS
        if is_first and event["role"] == "proposed" and own and in_lane and in_time:
            found.setdefault(request, (version, event["appended"] + CONFIRM_MS))
    return found


@laws(15)
@given(histories(), st.lists(st.sampled_from([1, 1, 2, 3]), max_size=12))
def test_the_same_log_asks_for_the_same_reviews_wherever_a_batch_ends(databases, history, cuts):
    whole, cut = counted(databases, history)[0], counted(databases, history, cuts)[0]

    assert cut == whole
    assert {
        each["prediction_id"]: (each["version"], each["deadline_ms"]) for each in whole
    } == naively(history)


def test_what_was_proposed_is_the_arms_answer_and_what_was_done_instead_is_nobodys(databases):
    proposed = [answered(each) for each in BY_ARM[1][:2]]
    instead = [
        answered(BY_ARM[1][0], role="live", version="41"),
        answered(BY_ARM[1][1], role="live", version="people"),
    ]
    shadow = answered(BY_ARM[1][0], role="shadow", version="43")
    own = answered(CHAMPIONS, role="live")

    _, cells = counted(databases, [*proposed, *instead, shadow, own])

    split = cells[SUPERVISED.split].tolist()
    assert dict(zip(SPLIT, split, strict=False)) == dict.fromkeys(SPLIT, 0)
    assert split[len(SPLIT) :] == [1, 2, 0]
    errors = cells[SUPERVISED.what(0, -1)].reshape(-1, 3)
    assert errors.sum(axis=0).tolist() == [3, 3, 0]
    no = next(n for n, metric in enumerate(SUPERVISED.metrics) if metric.name == "disagreement")
    assert SUPERVISED.what(no, -1) not in cells


def test_an_error_that_was_proposed_is_the_challengers(databases):
    _, cells = counted(databases, [NOBODY["an error"]])

    assert cells[SUPERVISED.what(0, -1)].reshape(-1, 3)[:, 2].tolist() == [0, 0, 1, 0]


def test_a_sticky_unit_is_enrolled_by_what_was_proposed_to_it(blank):
    start = Start(
        rollout="r1", epoch=5, opens_ms=0, salts=sticky.SALTS, shares=(0.3, 0.2),
        scope=Scope(tag="tier", values=("a",)), confirm_ms=CONFIRM_MS,
    )  # fmt: skip
    epoch = opened(read(sticky.SPEC)[0].spec, sticky.MODEL, start, sticky.FIGURES)
    account = next(each for each in sticky.ACCOUNTS if sticky.lane(each) == (1, False))
    event = answered("p-1", arm=1, unit_id=account, tags={"tier": "a"})
    instead = event | {"version": "41", "role": "live"}
    log = spine.ListLog(spine.Hands(), partitions=1)
    log.put(0, spine.T0, [line for each in (event, instead) for line in world.lines(each)])

    spine.prepare(blank, [(sticky.MODEL, spine.T0 - 60 * world.MINUTE)], sticky.ROUTES)
    with writing(blank) as connection:
        open_epoch(connection, epoch, now_ms=0)
    spine.settle(spine.pipeline(log, blank, collectors=[Rollouts()]), log, blank)
    with reading(blank) as connection:
        [unit] = connection.execute(select(tables.unit_partial)).all()
        [asked] = reviews.listed(connection, limit=9)

    assert (asked.prediction_id, asked.version) == ("p-1", "42")
    assert (unit.arm, counters.vector(unit.cells)[0]) == (1, 1)


# --- who answers first


def opened_one(engine, id="r", *, rollout="spam-42", due_ms=1_000):
    asked = Asked(id, "spam", rollout, 1, "p-1", "42", 1.0, 0, due_ms, b"{}")
    with writing(engine) as connection:
        reviews.ask(connection, [asked])


def found(engine, id="r"):
    with reading(engine) as connection:
        return reviews.found(connection, id)


def do(engine, what, now_ms):
    with writing(engine) as connection:
        if isinstance(what, Saying):
            reviews.answer(connection, "r", what, now_ms=now_ms, wall_ms=now_ms)
        elif what == "time":
            reviews.time_out(connection, now_ms=now_ms, wall_ms=now_ms)
        else:
            reviews.withdraw(connection, "spam-42", "42", now_ms=now_ms, wall_ms=now_ms)


DEEDS = st.lists(
    st.tuples(st.sampled_from([YES, NO, "time", "back"]), st.integers(0, 2_000)), max_size=6
)


@laws(25)
@given(DEEDS)
def test_the_first_that_closes_a_review_holds_whatever_the_clocks_say_later(databases, deeds):
    with databases.fresh() as engine:
        opened_one(engine)
        expected = State.OPEN
        for what, now_ms in deeds:
            do(engine, what, now_ms)
            if expected is State.OPEN:
                if isinstance(what, Saying) and now_ms < 1_000:
                    expected = what.state
                elif what == "time" and now_ms >= 1_000:
                    expected = State.TIMED_OUT
                elif what == "back":
                    expected = State.WITHDRAWN
            assert found(engine).state is expected
        with reading(engine) as connection:
            told = [messages.decode(row.body) for row in connection.execute(select(outbox))]

    assert [(each.id, each.state) for each in told] == [("review/r", expected)] * (
        expected is not State.OPEN
    )


def test_of_many_who_answer_at_once_one_does(ready):
    opened_one(ready)
    both = threading.Barrier(6)

    def answer(k):
        both.wait()
        saying = Saying(state=YES.state if k % 2 else NO.state, by=f"person {k}", reason="r")
        with writing(ready) as connection:
            return reviews.answer(connection, "r", saying, now_ms=1, wall_ms=1)

    with ThreadPoolExecutor(6) as people:
        won = list(people.map(answer, range(6)))

    assert sum(won) == 1
    assert found(ready).by == f"person {won.index(True)}"


def test_what_was_sent_is_forgotten_with_its_request_and_the_rest_stays(blank):
    opened_one(blank)
    do(blank, YES, 10)
    with writing(blank) as connection:
        reviews.forget(connection, before_ms=1)

    assert (found(blank).answer, found(blank).state, found(blank).by) == (None, YES.state, "ann")


def test_reviews_come_in_pages_those_first_that_are_due_first(blank):
    for k in range(5):
        opened_one(blank, f"r{k}", due_ms=1_000 - k // 2)
    pages, after = [], None
    with reading(blank) as connection:
        while page := reviews.listed(connection, state=State.OPEN, after=after, limit=2):
            pages.append([each.id for each in page])
            after = page[-1].deadline_ms, page[-1].id
        assert reviews.listed(connection, models=["ham"], limit=9) == []

    assert pages == [["r4", "r2"], ["r3", "r0"], ["r1"]]


# --- a rollout through its supervised stage

SPEC = (
    BEGINS
    + b"""\
  blindAfter: 3h
  stages:
    - supervised: {weight: 50, where: {tag: country, in: [BR]}, confirmWithin: 10m,
                   min: {units: 3}, deadline: 3d}
    - canary: {weights: [60], dwell: 1h, require: guardrails, deadline: 4d}
"""
)


class Floor:
    """A rollout in its supervised stage, and requests of its challenger's lane."""

    def __init__(self, engine):
        spine.prepare(engine, [(world.MODEL, spine.T0)])
        self.engine, self.now_ms = engine, spine.T0
        with writing(engine) as connection:
            store.create(connection, read(SPEC)[0], reason="r", now_ms=spine.T0, by="ann", salt="s")
        for signal in (Signal.PLAN, Signal.START):
            self.decide(signal)
        self._log = spine.ListLog(spine.Hands(spine.T0), partitions=world.PARTITIONS)
        self._pass = spine.pipeline(self._log, engine, collectors=[Rollouts()])
        self.requests = iter(each for each in world.IDS if world.drawn("s", each) < 0.5)

    def decide(self, signal):
        ask = Ask(rollout=NAME, signal=signal, cause=person("ann"))
        decide(self.engine, ask, now_ms=self.now_ms, wall_ms=self.now_ms, freezing=freeze)

    def propose(self):
        """A proposed answer is counted; the id of its review."""
        self.now_ms += world.MINUTE
        request = next(self.requests)
        times = {"time": self.now_ms, "appended": self.now_ms, "route_version": 1}
        event = answered(request, arm=1) | times
        self._log.clock.now_ms = self.now_ms
        self._log.put(world.home_of(event), self.now_ms, world.lines(event))
        spine.settle(self._pass, self._log, self.engine)
        return review_id("spam", request)

    def say(self, id, saying):
        with writing(self.engine) as connection:
            return reviewing.say(connection, id, saying, now_ms=self.now_ms, wall_ms=self.now_ms)

    def settle(self):
        return reviewing.settle(self.engine, now_ms=self.now_ms, wall_ms=self.now_ms)

    def look(self):
        return watch(self.engine, NAME, now_ms=self.now_ms, wall_ms=self.now_ms)


@pytest.fixture
def floor(blank):
    return Floor(blank)


def test_a_stage_is_left_once_so_many_answers_were_looked_at_and_the_file_proves_it(
    floor, tmp_path
):
    said = [YES, NO, None, YES]
    moves = []
    for saying in said:
        id = floor.propose()
        if saying is None:
            floor.now_ms += CONFIRM_MS
            assert floor.settle() == 1
        else:
            floor.say(id, saying)
        moves.append(floor.look())

    assert [move and move.after.kind for move in moves] == [None, None, None, Kind.CANARY]
    with reading(floor.engine) as connection:
        seen = store.standing(connection, NAME)
        look = look_at(connection, NAME, peaks={})
        asked = reviewing.counts(connection, seen)
    assert asked == {("42", State.CONFIRMED): 2, ("42", State.REFUSED): 1,
                     ("42", State.TIMED_OUT): 1}  # fmt: skip
    assert reached(look, since_ms=0)["42"].units == 3
    told = export(Store(floor.engine, Clock()), NAME, tmp_path / "told.jsonl")
    assert verified((tmp_path / "told.jsonl").read_bytes()).head == told.head


def test_who_is_second_hears_who_was_first(floor):
    id = floor.propose()
    floor.say(id, NO)

    with pytest.raises(ConflictError, match="bob refused it before"):
        floor.say(id, YES)


def test_a_late_confirmation_flips_nothing_even_where_a_clock_goes_back(floor):
    id = floor.propose()
    floor.now_ms += CONFIRM_MS
    with pytest.raises(IllegalTransitionError, match="timed-out"):
        floor.say(id, YES)
    floor.settle()
    floor.now_ms -= CONFIRM_MS

    with pytest.raises(IllegalTransitionError, match="timed-out"):
        floor.say(id, YES)
    assert found(floor.engine, id).state is State.TIMED_OUT


def test_nobody_confirms_an_answer_of_a_rollout_that_went_back(floor):
    first, second = floor.propose(), floor.propose()
    floor.say(first, YES)
    floor.decide(Signal.ROLLBACK)

    with pytest.raises(IllegalTransitionError, match="went back"):
        floor.say(second, YES)
    assert floor.settle() == 1
    assert found(floor.engine, second).state is State.WITHDRAWN
    assert found(floor.engine, first).state is State.CONFIRMED
    with pytest.raises(IllegalTransitionError, match="withdrawn"):
        floor.say(second, NO)


def test_a_label_is_of_a_refusal_and_a_class_of_the_model(floor):
    id = floor.propose()

    for saying in (
        msgspec.structs.replace(YES, label="ham"), msgspec.structs.replace(NO, label="eggs"),
        msgspec.structs.replace(NO, label=""),
    ):  # fmt: skip
        with pytest.raises(InputError) as refused:
            floor.say(id, saying)
        assert refused.value.field == "label"
    assert floor.say(id, NO).label == "ham"


def test_a_review_that_is_not_there_cannot_be_answered(floor):
    with pytest.raises(InputError, match="no review 'nine'"):
        floor.say("nine", YES)
