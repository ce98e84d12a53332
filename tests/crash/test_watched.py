"""A rollout from its start to full weight, killed at each of its moves and between any statements.

Events, log, pass, judge and controller are the real ones; what a process that died left is gone on
with by the next, which knows nothing but the log and the database. The chain of decisions, with the
digest of every look that was cited, ends the same.
"""

import random
import uuid
from contextlib import closing
from itertools import count

import pytest

from rollout import routes, store
from rollout.acting import Ask, decide
from rollout.assignment import arm_of
from rollout.collector import Rollouts
from rollout.courses import FINAL, Kind
from rollout.decisions import Person, canonical, verified
from rollout.opening import freeze
from rollout.spec import read
from rollout.stages import Signal
from rollout.watching import watch
from streams.db.engine import connect, reading, writing
from streams.envelopes import pack
from streams.logs.embedded import EmbeddedLog
from streams.models import Declaration
from streams.topics import EVENTS, TOPICS
from tests.crash.dying import lives
from tests.rollout import counting as world
from tests.rollout.looking import NAME, SPEC
from tests.streams import spine

MODEL = Declaration(model="spam", task="classification", classes=("ham", "spam"))
STEP_MS, REQUESTS, STEPS = 10 * world.MINUTE, 100, 80
ONCALL = Person(name="bob", reason="the numbers are fine", groups=("oncall",))
ANN = Person(name="ann", reason="it may replace 41")


class Life:
    """One process's part of the story."""

    def __init__(self, url, path):
        self._engine = connect(url, durable=True)
        self._clock = spine.Hands(spine.T0)
        self._log = EmbeddedLog(path, clock=self._clock)
        for topic in TOPICS:
            self._log.ensure(topic, world.PARTITIONS)

    def played(self):
        """The story goes on where log and database stand, to its end."""
        self._begin()
        worker = spine.pipeline(self._log, self._engine, collectors=[Rollouts()], clock=self._clock)
        with closing(worker), closing(self._log):
            told = self._log.bounds(EVENTS.name)[0].end  # steps: each appends a record to each
            for step in range(max(told - 1, 0), STEPS):
                self._clock.now_ms = spine.T0 + (step + 1) * STEP_MS
                if step >= told:
                    self._append(step)
                spine.settle(worker, self._log, self._engine, clock=self._clock)
                if self._decided():
                    break
        self._engine.dispose()

    def _begin(self):
        with writing(self._engine) as connection:
            if NAME not in {each.rollout for each in store.summaries(connection)}:
                declared, _ = read(SPEC)
                store.create(
                    connection, declared, reason="r", now_ms=spine.T0, by="ann", salt="salt"
                )
        for kind, signal in ((Kind.DRAFT, Signal.PLAN), (Kind.PLANNED, Signal.START)):
            if self._place() is kind:
                self._decide(signal, ANN, spine.T0)

    def _append(self, step):
        """Ten minutes of requests, by the table as it stands: one append, all of it or nothing."""
        with reading(self._engine) as connection:
            (table,) = routes.newest(connection)
        draw = random.Random(step)
        lines = {partition: [] for partition in range(world.PARTITIONS)}
        for k in range(REQUESTS):
            at_ms = spine.T0 + step * STEP_MS + k * STEP_MS // REQUESTS
            pid = str(uuid.UUID(f"{at_ms:012x}7{draw.getrandbits(76):019x}"))
            arm = arm_of(table, pid, {})
            said = (
                {"error": {"type": "T"}} if draw.random() < 0.05 else {"output": {"label": "ham"}}
            )
            event = {
                "type": "io.penstock.prediction.v1", "model": "spam", "prediction_id": pid,
                "time": at_ms, "version": arm.version, "arm": arm.arm,
                "route_version": table.version, **said,
            }  # fmt: skip
            lines[world.home_of(event)] += world.lines(event)
        self._log.append(EVENTS.name, [(p, pack(some)) for p, some in lines.items()])

    def _decided(self):
        """Whether everything that is due now is decided, and the rollout has ended."""
        now_ms = self._clock.now_ms
        while self._place() not in FINAL:
            made = watch(self._engine, NAME, now_ms=now_ms, wall_ms=now_ms)
            if made is None and not self._signed(now_ms):
                return False
        return True

    def _signed(self, now_ms):
        with reading(self._engine) as connection:
            state = store.standing(connection, NAME).state
        if state.place.kind is not Kind.APPROVAL or state.signed:
            return False
        self._decide(Signal.SIGN, ONCALL, now_ms)
        return True

    def _decide(self, signal, who, now_ms):
        ask = Ask(rollout=NAME, signal=signal, cause=who)
        decide(self._engine, ask, now_ms=now_ms, wall_ms=now_ms, freezing=freeze)

    def _place(self):
        with reading(self._engine) as connection:
            return store.standing(connection, NAME).state.place.kind


def played(url, path):
    Life(url, path).played()


def outcome(engine):
    """The chain, which names every look that decided, and who answers now."""
    with reading(engine) as connection:
        standing = store.standing(connection, NAME)
        (table,) = routes.newest(connection)
    verified(map(canonical, standing.decisions))
    return [(each.signal, each.hash) for each in standing.decisions], table.arms


@pytest.fixture
def ends(sqlite_url, tmp_path):
    """How many processes died, and what the story comes to, when one dies before each statement
    given, of those `about`, and the next goes on; one that lives ends it."""
    made = spine.Databases(sqlite_url, tmp_path).prepare([(MODEL, spine.T0)])
    logs = count()

    def end(statements, about=""):
        with made.fresh() as engine:
            url, path = str(engine.url), tmp_path / f"log{next(logs)}.db"
            died = 0
            for k in statements:
                if lives(k, played, url, path, about=about):
                    break
                died += 1
            else:
                played(url, path)
            for left in tmp_path.glob(f"{path.name}*"):
                left.unlink()
            return died, outcome(engine)

    yield end
    made.dispose()


@pytest.mark.crash
@pytest.mark.parametrize("about", ["decision", "route_table"])
def test_killed_at_each_of_its_moves_a_rollout_ends_the_same(ends, about):
    _, expected = ends([])
    chain, arms = expected
    assert [signal for signal, _ in chain] == [
        "plan", "start", "advance", "advance", "sign", "advance", "finish"
    ]  # fmt: skip
    assert arms[-1].version == "42"

    for move in count():
        died, found = ends([move], f"INSERT INTO {about} ")
        assert found == expected, f"killed before move {move}"
        if not died:
            break
    assert move >= 4


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_killed_at_fifty_random_instants_a_rollout_ends_the_same(ends):
    draw = random.Random(11)
    _, expected = ends([])
    died = 0
    while died < 50:
        before, instants = draw.getstate(), (draw.randrange(60, 1_500) for _ in count())
        more, found = ends(instants)
        assert more, f"nobody died: {before}"
        assert found == expected, f"killed {more} times, at random from {before}"
        died += more
