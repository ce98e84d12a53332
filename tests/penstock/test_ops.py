"""Health and metrics of a worker and of control, on the embedded log."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from penstock.control import Control, Duty
from penstock.direct import Direct
from penstock.installation import opened, prepare
from penstock.intake import pipeline
from penstock.ops import control as control_ops
from penstock.ops import intake as intake_ops
from penstock.ops import probe as probing
from penstock.ops import shadow as shadow_ops
from penstock.ops import vitals as vital
from penstock.ops.probe import Probe
from penstock.ops.server import serving
from penstock.ops.vitals import Vitals
from penstock.outbound.fetcher import Fetcher
from penstock.outbound.rules import Rules
from penstock.settings import Settings
from penstock.webhooks.delivering import Deliverer
from rollout.shadow import Candidate
from rollout.shadow_pass import Shadow
from streams.db.engine import writing
from streams.errors import ConfigError, UnavailableError
from streams.outbox import Message, put
from tests.cli.conftest import free_port, lines, prediction
from tests.penstock.test_supervisor import eventually
from tests.web.places import Place

DOCS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path):
    settings = Settings(data_dir=tmp_path / "data", partitions=3)
    prepare(settings)
    with opened(settings) as here:
        yield here


@pytest.fixture
def asked():
    """Asks the ops server of some vitals; (status, body)."""
    vitals, port = Vitals("worker"), free_port()

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    with serving(vitals, "127.0.0.1", port):
        get.vitals = vitals
        yield get


@contextmanager
def working(here, vitals):
    """A worker on `here` that counted what there was; it does not run meanwhile."""
    worker = pipeline(here, owner="w")
    watched = intake_ops.Worker(here, worker)
    try:
        worker.drain()
        with vitals.playing(watched):
            yield worker
    finally:
        worker.close()


def delivering(here) -> Deliverer:
    return Deliverer(here.engine, Fetcher(Rules()))


def away(here) -> None:
    """The database cannot be opened any more."""
    here.engine.dispose()
    path = here.settings.data_dir / "penstock.db"
    path.rename(path.with_suffix(".away"))
    path.mkdir()


def value(text: str, series: str) -> float:
    (found,) = re.findall(rf"^{re.escape(series)} (\S+)$", text, re.M)
    return float(found)


def test_a_worker_tells_what_it_counted_and_how_far_it_is_behind(here, asked):
    odd = {"type": "io.penstock.prediction.v1"}
    Direct(here.log).take(lines(*[prediction(k) for k in range(20)]).splitlines())
    here.log.append("events", [(0, json.dumps(odd).encode())])

    with working(here, asked.vitals) as worker:
        Direct(here.log).take(lines(prediction(100)).splitlines())
        status, text = asked("/metrics")

    assert status == 200
    assert value(text, "penstock_worker_events_total") == worker.taken.events == 20
    assert value(text, 'penstock_worker_rejected_total{code="missing_field"}') == 1
    assert value(text, "penstock_worker_partitions") == 3
    assert value(text, "penstock_worker_claims_total") == 3
    lags = [value(text, f'penstock_worker_lag_records{{partition="{p}"}}') for p in range(3)]
    assert sorted(lags) == [0, 0, 1]
    assert value(text, "penstock_worker_delay_seconds_count") == 20
    assert value(text, 'penstock_worker_delay_seconds_bucket{le="+Inf"}') == 20
    assert value(text, "penstock_worker_batch_seconds_count") == worker.taken.batches
    assert value(text, "penstock_log_up") == value(text, "penstock_database_up") == 1


def test_a_worker_that_is_open_is_ready_and_before_that_says_why_not(here, asked):
    before = asked("/readyz")
    asked.vitals.wait("Kafka could not describe the topic events")
    waiting = asked("/readyz")
    with working(here, asked.vitals):
        during = asked("/readyz")

    assert before[0] == waiting[0] == 503
    assert json.loads(waiting[1])["checks"]["worker"].startswith("Kafka could not")
    assert (during[0], json.loads(during[1])["status"]) == (200, "ready")
    assert json.loads(during[1])["checks"].keys() == {"worker", "log", "database", "intake"}


def test_a_database_that_is_away_makes_not_ready_and_restarts_nobody(here, asked):
    with working(here, asked.vitals):
        away(here)
        ready, live, figures = asked("/readyz"), asked("/healthz"), asked("/metrics")

    assert (ready[0], live[0], figures[0]) == (503, 200, 200)
    assert json.loads(ready[1])["checks"]["database"] != "ok"
    assert json.loads(ready[1])["checks"]["log"] == "ok"
    assert value(figures[1], "penstock_database_up") == 0


def test_a_loop_that_waits_for_its_database_lives_and_says_what_it_waits_for(here, asked):
    stop, beats = threading.Event(), []
    worker = pipeline(here, owner="w")
    watched = intake_ops.Worker(here, worker)
    away(here)
    running = threading.Thread(
        target=worker.run, args=(stop,), kwargs={"tick": lambda: beats.append(1)}
    )
    with asked.vitals.playing(watched):
        running.start()
        assert eventually(lambda: len(beats) >= 2, 5)
        ready, figures = asked("/readyz"), asked("/metrics")[1]
        stop.set()
        running.join()

    assert ready[0] == 503
    assert json.loads(ready[1])["checks"]["intake"] == worker.taken.waiting != ""
    assert value(figures, "penstock_worker_waits_total") >= 1


def test_a_loop_that_stands_still_is_not_live(asked, monkeypatch):
    monkeypatch.setattr(vital, "LIVE_S", 0.05)
    time.sleep(0.1)
    still = asked("/healthz")
    asked.vitals.beat()
    moving = asked("/healthz")

    assert still[0] == 503
    assert "has not moved" in json.loads(still[1])["why"]
    assert moving == (200, '{"status":"live"}')


def test_control_tells_its_lease_its_duties_and_its_outbox(here, asked):
    with writing(here.engine) as connection:
        old = here.clock.wall_ms() - 60_000
        put(connection, [Message("m", "decisions", "k", b"{}")], now_ms=old)
    failing = UnavailableError("away")
    duties = [
        Duty("good", 0.01, lambda: None),
        Duty("bad", 0.01, lambda: (_ for _ in ()).throw(failing)),
    ]
    control, stop = Control(here.engine, duties, owner="c"), threading.Event()
    watched = control_ops.Keeper(here, control, delivering(here))
    running = threading.Thread(target=control.run, args=(stop,))
    with asked.vitals.playing(watched):
        waiting = asked("/metrics")[1], asked("/readyz")[0]
        running.start()
        time.sleep(0.5)
        text = asked("/metrics")[1]
        stop.set()
        running.join()

    assert value(waiting[0], "penstock_control_lease_held") == 0
    assert waiting[1] == 200  # without the lease, it is ready
    assert value(text, "penstock_control_lease_held") == 1
    assert value(text, 'penstock_control_duty_runs_total{duty="good"}') > 1
    assert value(text, 'penstock_control_duty_failures_total{duty="bad"}') >= 1
    last = value(text, 'penstock_control_duty_last_run_timestamp_seconds{duty="good"}')
    assert abs(last - time.time()) < 10
    assert value(text, "penstock_outbox_messages") == 1
    assert 60 <= value(text, "penstock_outbox_age_seconds") < 120


def test_a_look_that_hangs_keeps_nobody_waiting_and_one_look_serves_all(monkeypatch):
    monkeypatch.setattr(probing, "PATIENCE_S", 0.05)
    free, looks = threading.Event(), []
    probe = Probe("the broker", lambda: looks.append(1) or free.wait(10))

    for _ in range(3):
        with pytest.raises(UnavailableError, match="the broker has not answered"):
            probe.ask()
    free.set()

    assert probe.ask() is True
    assert looks == [1]


def test_a_port_that_is_taken_is_named_with_its_setting():
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        pytest.raises(ConfigError, match="cannot listen on") as caught,
        serving(Vitals("worker"), "127.0.0.1", held.getsockname()[1]),
    ):
        raise AssertionError("served")

    assert "PENSTOCK_OPS_PORT" in caught.value.fix


def test_what_is_not_there_is_answered_with_what_is(asked):
    status, body = asked("/v1/events")

    assert status == 404
    assert json.loads(body)["paths"] == ["/healthz", "/readyz", "/metrics"]


def test_a_worker_and_control_carry_no_web_server():
    code = (
        "import sys, penstock.wiring, penstock.intake, penstock.ops.server\n"
        "import penstock.ops.intake, penstock.ops.control\n"
        "print({'fastapi', 'uvicorn', 'starlette', 'onnxruntime'} & sys.modules.keys())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


def test_web_and_control_start_without_scipys_distributions():
    code = "import sys, penstock.web.app, rollout.watching; sys.exit('scipy.stats' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def names(text: bytes) -> set[str]:
    """What the table of metrics calls the families of a scrape."""
    kinds = dict(line.split()[2:4] for line in text.decode().splitlines() if "# TYPE" in line)
    return {name for name in kinds if name.startswith("penstock_") and "_created" not in name}


def test_the_table_of_metrics_is_what_processes_tell(here, tmp_path):
    told = set()
    for role, played in (("worker", working), ("control", controlling), ("shadow", shadowing)):
        vitals = Vitals(role)
        with played(here, vitals):
            told |= names(generate_latest(vitals.registry))
    (tmp_path / "web").mkdir()
    place = Place(tmp_path / "web")
    with place.client() as client:
        told |= names(client.get("/metrics").content)
    place.close()

    table = DOCS.partition("## Metrics")[2].partition("## Log lines")[0]
    documented = re.findall(r"^\| `(penstock_\w+)` \|", table, re.M)

    assert sorted(documented) == sorted(told)


@contextmanager
def shadowing(here, vitals):
    runner = Shadow(
        here.log, here.engine, owner="s", clock=here.clock, begin=Candidate, seconds=time.monotonic
    )
    try:
        with vitals.playing(shadow_ops.Runner(here, runner)):
            yield
    finally:
        runner.close()


@contextmanager
def controlling(here, vitals):
    watched = control_ops.Keeper(here, Control(here.engine, [], owner="c"), delivering(here))
    with vitals.playing(watched):
        yield
