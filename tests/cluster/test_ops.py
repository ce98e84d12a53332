"""Health, metrics and status of real processes, while what they need is cut off and comes back."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from kafka import KafkaProducer

from penstock.direct import Direct
from penstock.installation import opened
from streams.topics import EVENTS
from tests.cli.conftest import free_port, lines, prediction

pytestmark = pytest.mark.cluster


class Watched:
    """A role that tells its health on a port of its own."""

    def __init__(self, place, role: str, name: str) -> None:
        self.port = free_port()
        place.env["PENSTOCK_OPS_PORT"] = str(self.port)
        self.process = place.play(role, name)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as found:
                return found.status, found.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def lacks(self, check: str) -> bool:
        """It lives, and is not ready for want of this."""
        live, (status, body) = self.get("/healthz")[0], self.get("/readyz")
        assert live == 200
        return status == 503 and json.loads(body)["checks"].get(check, "ok") != "ok"


def status(place) -> tuple[int, dict]:
    done = place.run("status", "-o", "json")
    return done.returncode, json.loads(done.stdout)


def test_what_is_cut_off_makes_not_ready_restarts_nobody_and_status_says_which(
    place, kafka_server, postgres_server
):
    (broker,) = kafka_server.nodes
    place.serve()
    worker, control = Watched(place, "worker", "w1"), Watched(place, "control", "c1")
    standby = Watched(place, "control", "c2")
    roles = [worker, control, standby]
    place.until(lambda: all(role.ready for role in roles))
    place.until(lambda: 'penstock_worker_lag_records{partition="11"}' in worker.get("/metrics")[1])
    place.until(lambda: status(place)[0] == 0)
    _, well = status(place)
    held = [role.get("/metrics")[1].count("lease_held 1.0") for role in (control, standby)]

    with postgres_server.away():
        place.until(lambda: all(role.lacks("database") for role in roles))
        without_database = status(place)
    place.until(lambda: all(role.ready for role in roles))

    os.kill(broker.pid, signal.SIGSTOP)
    try:
        place.until(lambda: all(role.lacks("log") for role in roles))
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    place.until(lambda: all(role.ready for role in roles))

    states = sorted((p["role"], p["name"], p["state"], p["held"]) for p in well["processes"])
    assert states[:2] == [
        ("control", "control-c1", "works" if held[0] else "stands by", 0),
        ("control", "control-c2", "works" if held[1] else "stands by", 0),
    ]
    assert states[3] == ("worker", "worker-w1", "works", 12)
    assert sorted(held) == [0, 1]
    assert without_database[0] == 3
    assert without_database[1]["database"] == "the database is away or busy"
    assert without_database[1]["counted"] is None
    assert [role.process.poll() for role in roles] == [None] * 3


def test_a_record_whose_codec_is_not_installed_ends_a_worker_with_the_reason_and_loses_nothing(
    place,
):
    settings = place.settings
    with opened(settings) as here:
        Direct(here.log).take(lines(*[prediction(k) for k in range(50)]).splitlines())
    with KafkaProducer(
        bootstrap_servers=settings.kafka_servers, compression_type="zstd"
    ) as service:
        for k in range(50, 80):
            event = lines(prediction(k))
            service.send(settings.kafka_prefix + EVENTS.name, value=event, partition=k % 12)
        service.flush()
    without = "import sys; sys.modules['zstandard'] = None\nfrom penstock.cli.main import run\n"

    ended = subprocess.run(
        [sys.executable, "-c", f"{without}sys.exit(run(['worker']))"],
        env=place.env | {"PENSTOCK_WORKER": "w1"}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    place.serve()
    place.play("worker", "w1")

    place.until(lambda: place.counted() == 80)
    assert ended.returncode == 2
    assert "zstd" in ended.stderr
    assert "pip install 'penstock[kafka]'" in ended.stderr
