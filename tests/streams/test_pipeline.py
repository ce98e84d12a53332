"""Who counts a partition, and what happens when an event, a log or a rival is not as it should."""

import logging
import shutil
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from streams import tables
from streams.db.engine import reading, writing
from streams.db.metadata import metadata
from streams.envelopes import pack
from streams.errors import ConfigError
from streams.logs.embedded import EmbeddedLog
from tests.laws import laws
from tests.streams import histories as world
from tests.streams import spine
from tests.streams.test_laws import counted, cuts, databases, log_of  # noqa: F401

POISON_US = 666_000


class Breaks:
    """A collector with a bug: it cannot take an answer that took 666 ms."""

    name = "breaks"

    def plans(self, connection):
        pass

    def collect(self, facts, plans):  # noqa: ARG002
        fresh = facts.answers.ints("latency_us")[: facts.answers.fresh]
        if (fresh == POISON_US).any():
            raise ArithmeticError("666")

    def save(self, connection, deltas):
        pass


def answer(prediction_id="a-1", **fields):
    event = {
        "type": "io.penstock.prediction.v1", "model": "wild", "version": "v1",
        "prediction_id": prediction_id, "time": spine.T0, "output": {"label": "x"},
    }  # fmt: skip
    return event | fields


def in_record(event, appended_ms=spine.T0):
    return pack(world.Sent((0, appended_ms, [event])).lines)


@laws(10)
@given(world.orderly(windows=2), cuts, st.data())
def test_a_bug_on_one_event_costs_that_event_alone(databases, windows, cuts, data):  # noqa: F811
    history = [sent for window in windows for sent in window]
    at = data.draw(st.integers(0, len(history)))
    partition, appended_ms, _ = history[min(at, len(history) - 1)]
    poison = answer("poison", latency_ms=666, time=history[0][1] - 1)
    broken = [*history[:at], world.Sent((partition, appended_ms, [poison])), *history[at:]]
    log = log_of(broken)
    log.cuts.extend(cuts)

    logging.disable(logging.ERROR)  # a traceback for each trial is a page of its own
    with databases.fresh() as engine:
        spine.settle(spine.pipeline(log, engine, collectors=[Breaks()]), log, engine)
        found = spine.content(engine)
    logging.disable(logging.NOTSET)

    assert [letter[0] for letter in found["dead"].values()] == ["processing_error"]
    found["cells"] = {k: v for k, v in found["cells"].items() if k[0][0] != "rejected"}
    assert spine.placeless(found | {"dead": {}}) == spine.placeless(counted(databases, history))


class BreaksAlways(Breaks):
    def collect(self, facts, plans):  # noqa: ARG002
        raise ArithmeticError("always")


def test_a_bug_that_no_event_is_to_blame_for_stops_the_worker_with_its_reason(store, log):
    log.put(0, spine.T0, [])
    worker = spine.pipeline(log, store, collectors=[BreaksAlways()])

    with pytest.raises(ConfigError, match="ArithmeticError: always"):
        spine.settle(worker, log, store)


@laws(25)
@given(
    world.histories(max_size=15),
    cuts,
    st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=30),
)
def test_two_workers_on_the_same_partitions_double_nothing(databases, history, cuts, turns):  # noqa: F811
    undisturbed = counted(databases, history)
    log = log_of(history)
    log.cuts.extend(cuts)

    with databases.fresh() as engine:
        rivals = [spine.pipeline(log, engine, owner=owner) for owner in ("one", "two")]
        for turn, settle in turns:
            rivals[turn].step(settle=settle)
        rivals[1].step()
        spine.settle(rivals[0], log, engine)
        found = spine.content(engine)

    assert found == {name: undisturbed[name] for name in found}


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_store_that_refuses_every_third_commit_counts_everything_once(store, log):
    """The refusal comes from the commit itself, when the next batch has been read already."""
    with writing(store) as connection:
        connection.exec_driver_sql(REFUSE_EVERY_THIRD)
    log.cuts.extend([1] * 40)
    for k in range(40):
        log.put(k % 2, spine.T0, world.Sent((0, spine.T0, [answer(f"a-{k // 2}")])).lines)
    worker, stop = spine.pipeline(log, store), threading.Event()

    def look():
        if worker.taken.events >= 40:
            stop.set()

    worker.run(stop, tick=look)

    content = spine.content(store)
    assert len(content["answers"]) == 20
    assert [content["positions"]["intake", partition][0] for partition in (0, 1)] == [20, 20]
    assert worker.taken.folds_again >= 10


REFUSE_EVERY_THIRD = """
CREATE SEQUENCE commits;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('commits') %% 3 = 0 THEN
    RAISE EXCEPTION 'refused' USING ERRCODE = '40001';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON position DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (OLD.next <> NEW.next) EXECUTE FUNCTION refuse();
"""


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_fault_that_passes_at_once_is_not_waited_for_long(store, log):
    with writing(store) as connection:
        connection.exec_driver_sql(TIME_OUT_THRICE)
    log.put(0, spine.T0, world.Sent((0, spine.T0, [answer()])).lines)
    worker, stop = spine.pipeline(log, store), Waits()

    def look():
        if worker.taken.answers:
            stop.set()

    worker.run(stop, tick=look)

    assert (worker.taken.answers, worker.taken.waits) == (1, 3)
    assert stop.waited_s == [0.05, 0.1, 0.2]


class Waits(threading.Event):
    """Notes how long it was waited for."""

    def __init__(self):
        super().__init__()
        self.waited_s = []

    def wait(self, timeout=None):
        self.waited_s.append(timeout)
        return super().wait(timeout)


TIME_OUT_THRICE = """
CREATE SEQUENCE tried;
CREATE FUNCTION time_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('tried') <= 3 THEN
    RAISE EXCEPTION 'too slow' USING ERRCODE = '57014';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER time_out AFTER UPDATE ON position
  FOR EACH ROW WHEN (OLD.next <> NEW.next) EXECUTE FUNCTION time_out();
"""


def test_a_worker_that_lost_its_partitions_commits_nothing_and_claims_again(store, log):
    for name in ("a-1", "a-2", "a-3"):
        log.put(0, spine.T0, world.Sent((0, spine.T0, [answer(name)])).lines)
    log.cuts.extend([1, 1])
    zombie, heir = (spine.pipeline(log, store, owner=owner) for owner in ("zombie", "heir"))
    zombie.step()
    heir.step()

    zombie.step()

    assert spine.content(store)["positions"]["intake", 0][0] == 2
    assert zombie.taken.answers == 1
    zombie.drain()
    assert len(spine.content(store)["answers"]) == 3


@pytest.fixture
def embedded(tmp_path):
    log = EmbeddedLog(tmp_path / "log.db", clock=spine.Hands())
    log.ensure("events", 1, retention_ms=60_000)
    yield log
    log.close()


def intake(log, engine):
    return spine.pipeline(log, engine, clock=spine.Hands())


def test_a_store_that_went_back_in_time_is_counted_again_from_there_on(store, log):
    """A failover that lost the last commits, or an older copy, under a worker that goes on."""
    with reading(store) as connection:
        old = {t: connection.execute(t.select()).mappings().all() for t in metadata.sorted_tables}
    worker = spine.pipeline(log, store)
    log.put(0, spine.T0, world.Sent((0, spine.T0, [answer("a-1", model="of then")])).lines)
    worker.drain()
    with writing(store) as connection:
        for table, rows in old.items():
            connection.execute(table.delete())
            if rows:
                connection.execute(table.insert(), [dict(row) for row in rows])

    log.put(1, spine.T0, world.Sent((0, spine.T0, [answer("a-2", model="another")])).lines)
    log.put(0, spine.T0, world.Sent((0, spine.T0, [answer("a-3", model="of then")])).lines)
    worker.drain()

    assert {key[:1] for key in spine.content(store)["answers"]} == {("of then",), ("another",)}
    assert len(spine.content(store)["answers"]) == 3


def test_records_that_retention_took_uncounted_are_a_gap_on_record(store, tmp_path):
    clock = spine.Hands()
    log = EmbeddedLog(tmp_path / "log.db", clock=clock)
    log.ensure("events", 1, retention_ms=60_000)
    log.append("events", [(0, in_record(answer("gone")))])
    clock.now_ms += 120_000
    log.append("events", [(0, in_record(answer("there")))])
    log.trim("events", now_ms=clock.now_ms)
    worker = intake(log, store)

    worker.step()
    worker.drain()

    with reading(store) as connection:
        gaps = connection.execute(select(tables.gap)).all()
    assert [(gap.partition, gap.from_offset, gap.to_offset) for gap in gaps] == [(0, 0, 1)]
    assert worker.taken.answers == 1
    worker.close()
    log.close()


def test_a_topic_that_is_made_again_under_a_live_worker_ends_it(store, embedded):
    embedded.append("events", [(0, in_record(answer()))])
    worker = intake(embedded, store)
    worker.drain()
    embedded.drop("events")
    embedded.ensure("events", 1)

    with pytest.raises(ConfigError, match="deleted and made again"):
        worker.run(threading.Event())


def test_a_topic_that_was_made_again_is_refused(store, embedded):
    embedded.append("events", [(0, in_record(answer()))])
    worker = intake(embedded, store)
    worker.drain()
    worker.close()
    embedded.drop("events")
    embedded.ensure("events", 1)
    worker = intake(embedded, store)

    with pytest.raises(ConfigError, match="deleted and made again"):
        worker.step()
    worker.close()


def test_a_log_older_than_what_is_counted_is_refused(tmp_path, store):
    log = EmbeddedLog(tmp_path / "log.db", clock=spine.Hands())
    log.ensure("events", 1)
    log.close()
    shutil.copy(tmp_path / "log.db", tmp_path / "backup.db")
    log = EmbeddedLog(tmp_path / "log.db", clock=spine.Hands())
    log.append("events", [(0, in_record(answer()))])
    worker = intake(log, store)
    worker.drain()
    worker.close()
    log.close()
    restored = EmbeddedLog(tmp_path / "backup.db", clock=spine.Hands())
    worker = intake(restored, store)

    with pytest.raises(ConfigError, match="ends at 0, but 1 records of it are counted"):
        worker.step()
    worker.close()
    restored.close()


def test_a_quiet_partition_follows_the_logs_clock_and_freezes_its_panes(store, log):
    log.put(0, spine.T0, world.Sent((0, spine.T0, [answer()])).lines)
    worker = spine.pipeline(log, store)
    worker.drain()

    log.clock.now_ms += 8 * world.DAY
    worker.step()

    found = spine.content(store)
    assert found["positions"]["intake", 0][1] == log.clock.now_ms - spine.LATENESS_MS
    assert [total for total, _ in found["totals"].values()] == [{"answered": 1}]
