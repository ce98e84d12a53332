"""`penstock status`: who is there, what is behind, what is away, and what to do about it."""

import dataclasses
import json
import threading
import time
from contextlib import contextmanager

import pytest

from penstock import overview
from penstock.control import LEASE, Control, Duty
from penstock.direct import Direct
from penstock.installation import opened, prepare, process_name
from penstock.intake import pipeline
from penstock.ops.control import Keeper
from penstock.ops.intake import Worker
from penstock.ops.presence import FRESH_MS, present
from penstock.outbound.fetcher import Fetcher
from penstock.outbound.rules import Rules
from penstock.settings import Settings
from penstock.webhooks.delivering import Deliverer
from streams import presence, webhooks
from streams.db import leases
from streams.db.engine import reading, writing
from streams.errors import ConfigError
from streams.outbox import Message, put
from streams.presence import Process, Told
from tests.cli.conftest import free_port, lines, prediction
from tests.penstock.test_supervisor import eventually


@pytest.fixture
def here(tmp_path):
    settings = Settings(data_dir=tmp_path / "data", partitions=3, port=free_port())
    prepare(settings)
    with opened(settings) as here:
        yield here


@contextmanager
def working(here, name="w", role="intake"):
    """A worker that counted what there was, and is seen."""
    worker = pipeline(here, owner=name)
    try:
        worker.drain()
        with present(here.engine, name=name, role=role, tell=Worker(here, worker).tell):
            assert eventually(lambda: name in seen(here), 5)
            yield worker
    finally:
        worker.close()


def seen(here) -> list[str]:
    with reading(here.engine) as connection:
        return [process.name for process in presence.listed(connection)]


def keep(here, name: str, role: str, *, age_ms: int = 0, **told: object) -> None:
    """A process that told this so long ago."""
    now_ms = here.clock.wall_ms() - age_ms
    with writing(here.engine) as connection:
        presence.keep(
            connection, Process(name, role, "host", 7, "0.1", now_ms, now_ms, Told(**told))
        )


def lead(here, owner: str) -> None:
    with writing(here.engine) as connection:
        now_ms = here.clock.wall_ms()
        leases.acquire(connection, name=LEASE, owner=owner, now_ms=now_ms, lease_ms=10_000)


def problems(here) -> list[str]:
    return [problem.problem for problem in overview.look(here.settings).problems]


def test_without_an_installation_it_says_what_makes_one(tmp_path):
    with pytest.raises(ConfigError, match="no installation yet"):
        overview.look(Settings(data_dir=tmp_path))


def test_an_installation_that_nobody_runs_is_not_well_and_says_what_to_start(here):
    found = overview.look(here.settings)

    assert found.state == "not well"
    assert {problem.next for problem in found.problems} == {"penstock up"}
    assert len(found.problems) == 3  # counting, control and web


def test_every_role_that_runs_is_seen_with_what_it_holds_and_what_waits(here):
    Direct(here.log).take(lines(*[prediction(k) for k in range(20)]).splitlines())
    lead(here, "c1")
    keep(here, "c1", "control")
    keep(here, "c2", "control")
    keep(here, "web1", "web", url="http://10.0.0.1:8080")

    with working(here):
        Direct(here.log).take(lines(prediction(100)).splitlines())
        here.log.append("events", [(0, b"{}")])
        found = overview.look(here.settings)

    assert (found.state, found.problems) == ("well", [])
    assert (found.counted, found.rejected, found.lag_records) == (20, 0, 2)
    states = {(p.role, p.name): (p.state, p.held, p.lag_records) for p in found.processes}
    assert states == {
        ("intake", "w"): ("works", 3, 2),
        ("control", "c1"): ("works", 0, 0),
        ("control", "c2"): ("stands by", 0, 0),
        ("web", "web1"): ("works", 0, 0),
    }
    assert found.lease == "c1"
    assert 119 < found.watermark_lag_s < 140


def test_a_process_that_ended_as_asked_is_not_shown_and_one_that_did_not_is(here):
    with working(here, name="w"):
        keep(here, "gone", "worker", age_ms=2 * FRESH_MS)
    found = overview.look(here.settings)

    assert {p.name: p.state for p in found.processes} == {"w": "ended", "gone": "gone"}
    assert "nobody reads partitions [0, 1, 2]" in problems(here)


def test_a_worker_of_a_release_before_keeps_no_row_and_is_seen_by_its_partitions(here):
    worker = pipeline(here, owner="intake-old-17")
    worker.drain()
    worker.close()

    (process,) = overview.look(here.settings).processes

    assert (process.role, process.name, process.state) == ("worker", "intake-old-17", "works")
    assert not [text for text in problems(here) if "nobody reads" in text]


def test_a_process_that_waits_says_for_what(here):
    keep(here, "w9", "worker", fault="the database is away or busy")

    assert "worker w9 waits: the database is away or busy" in problems(here)


def test_a_lease_that_has_run_out_is_nobodys(here):
    with writing(here.engine) as connection:
        leases.acquire(connection, name=LEASE, owner="c", now_ms=0, lease_ms=1)

    assert "no control does its duties: nothing is sent or closed" in problems(here)


def test_messages_that_wait_for_long_are_a_problem(here):
    with writing(here.engine) as connection:
        old_ms = here.clock.wall_ms() - 90_000
        put(connection, [Message("m", "decisions", "k", b"{}")], now_ms=old_ms)

    assert [text for text in problems(here) if text.startswith("the oldest of 1 messages")]


def test_a_webhook_that_takes_nothing_for_long_is_named(here):
    with writing(here.engine) as connection:
        made = [
            webhooks.create(
                connection, url=f"https://{host}/", secret="s", models=["*"], description="",
                now_ms=1, by="ann",
            ).id
            for host in ("long", "soon")
        ]  # fmt: skip
        now_ms = here.clock.wall_ms()
        webhooks.failed(connection, made[0], why="it answered 502", now_ms=now_ms - 700_000)
        webhooks.failed(connection, made[1], why="it answered 502", now_ms=now_ms)

    [found] = [text for text in problems(here) if "webhook" in text]

    assert found.startswith(f"webhook {made[0]} has taken nothing for 70")
    assert found.endswith("s: it answered 502")


def test_a_duty_that_fails_is_named(here):
    def fails() -> None:
        raise ConfigError("no such topic")

    control, stop = Control(here.engine, [Duty("relay", 0.01, fails)], owner="c"), threading.Event()
    running = threading.Thread(target=control.run, args=(stop,))
    running.start()
    try:
        assert eventually(lambda: control.done["relay"].failures > 0, 5)
        keeper = Keeper(here, control, Deliverer(here.engine, Fetcher(Rules())))
        with present(here.engine, name="c", role="control", tell=keeper.tell):
            assert eventually(lambda: "c" in seen(here), 5)
            found = overview.look(here.settings)
    finally:
        stop.set()
        running.join()

    assert [(d.duty, d.fault) for d in found.duties] == [("relay", "no such topic")]
    assert "control fails at relay: no such topic" in [p.problem for p in found.problems]


def test_a_broker_that_is_away_hides_nothing_but_the_log(here):
    with working(here):
        away = dataclasses.replace(here.settings, kafka_servers="127.0.0.1:1")
        found = overview.look(away)

    assert found.log.startswith("Kafka could not")
    assert (found.lag_records, found.counted) == (None, 0)
    assert [p.name for p in found.processes] == ["w"]
    assert found.problems[0].problem.startswith("the log: Kafka could not")


def test_a_database_that_is_away_hides_nothing_but_its_own(here):
    away = dataclasses.replace(here.settings, database_url="postgresql://u:secret@127.0.0.1:1/x")

    found = overview.look(away)

    assert found.database == "the database is away or busy"
    assert found.log == str(here.settings.log_path)
    assert found.counted is None
    assert "secret" not in json.dumps(str(found))


def test_a_successor_takes_the_row_of_its_name_and_keeps_it(here):
    with present(here.engine, name="w", role="worker", tell=Told):
        assert eventually(lambda: seen(here) == ["w"], 5)
        keep(here, "w", "worker")  # another process id

    with reading(here.engine) as connection:
        (process,) = presence.listed(connection)
    assert (process.pid, process.told.ended) == (7, False)


def test_those_not_seen_for_long_are_forgotten(here):
    keep(here, "old", "worker", age_ms=700_000)
    keep(here, "new", "worker")

    with writing(here.engine) as connection:
        assert presence.forget(connection, before_ms=here.clock.wall_ms() - 600_000) == 1

    assert seen(here) == ["new"]


def test_a_database_that_is_away_keeps_nobody_from_ending(here):
    with present(here.engine, name="w", role="worker", tell=Told):
        assert eventually(lambda: seen(here) == ["w"], 5)
        here.engine.dispose()
        path = here.settings.data_dir / "penstock.db"
        path.rename(path.with_suffix(".away"))
        path.mkdir()
        started = time.monotonic()

    assert time.monotonic() - started < 2


def test_names_last_over_restarts_where_they_can(tmp_path):
    embedded = Settings(data_dir=tmp_path)
    named = Settings(data_dir=tmp_path, kafka_servers="k:9092", worker="w1")
    nameless = Settings(data_dir=tmp_path, kafka_servers="k:9092")

    assert process_name("intake", embedded) == process_name("intake", embedded)
    assert process_name("worker", named) == "worker-w1"
    assert process_name("control", nameless).startswith("control-")
