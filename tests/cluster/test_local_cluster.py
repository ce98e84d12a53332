"""`make cluster`: the roles of docker-compose.yml without containers, as somebody tries them."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.cluster_local.topology import read
from tests.cli.conftest import free_port, lines, prediction
from tests.deploy.test_monitoring import QUERIES, RULES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
PATIENCE_S = 120
UP = "Ctrl-C here ends everything"
LASTING = {role.name for role in read() if not role.is_once}
# There only once something of the kind has happened.
LATER = {"penstock_worker_rejected_total", "penstock_ingest_events_rejected_total",
         "penstock_ingest_requests_refused_total", "penstock_webhook_failing_seconds"}  # fmt: skip


class Cluster:
    """`make cluster` on a folder of the test, what it says in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = folder / "env"
        self.log = folder.with_suffix(".log")
        self.url = ""

    def start(self) -> "Cluster":
        """Everything is up."""
        before = self.said().count(UP) if self.log.exists() else 0
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cluster_local", "--data", self.folder,
                 "--port", str(free_port()), "--prometheus"], stderr=log,
            )  # fmt: skip
        self.until(lambda: self.said().count(UP) > before)
        self.url = re.findall(r"Penstock runs at (\S+),", self.said())[-1]
        return self

    def said(self) -> str:
        return self.log.read_text()

    def places(self) -> dict[str, str]:
        """Where each says that it is."""
        return dict(re.findall(r"^cluster:   (\S+) +(\S+)$", self.said(), re.M))

    def run(self, *args: str, stdin: bytes = b"") -> str:
        """What a command prints in a shell that has read the file `env`."""
        done = subprocess.run(
            ["sh", "-c", '. "$0"; exec "$@"', self.env, sys.executable, "-m", "penstock.cli.main",
             *args], input=stdin, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def send(self, start: int, count: int) -> None:
        events = lines(*[prediction(k) for k in range(start, start + count)])
        self.run("send", "-", "--server", self.url, stdin=events)

    def answered(self) -> int:
        counts = json.loads(self.run("events", "counts", "-o", "json"))
        return sum(row["answered"] for row in counts)

    def pids(self, role: str = "") -> list[int]:
        """Live processes of this cluster, by their arguments and environment; all or a role's."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                command = (path / "cmdline").read_bytes()
                words = command + (path / "environ").read_bytes()
            except OSError:  # it has just ended, or is not ours
                continue
            is_role = not role or f"/log/{role}.log".encode() in command
            if command and is_role and str(self.folder).encode() in words:
                found.append(int(path.name))
        return found

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.said()
            assert self.process.poll() in (None, -signal.SIGKILL), self.said()
            time.sleep(0.1)


@pytest.fixture
def cluster():
    # Not below pytest's own folder: that is root's alone where root runs the tests.
    with tempfile.TemporaryDirectory(prefix="penstock-cluster-") as folder:
        Path(folder).chmod(0o711)
        cluster = Cluster(Path(folder) / "cluster")
        yield cluster
        if cluster.process.poll() is None:
            cluster.process.terminate()
            cluster.process.wait(30)


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def test_it_counts_comes_back_after_kills_and_leaves_nothing(cluster):
    cluster.start()
    cluster.send(0, 500)
    cluster.until(lambda: cluster.answered() == 500)

    (before,) = cluster.pids("worker-1")
    os.kill(before, signal.SIGKILL)
    cluster.send(500, 500)
    cluster.until(lambda: cluster.answered() == 1_000)
    assert "worker-1 was ended by SIGKILL; starting it again" in cluster.said()
    cluster.until(lambda: cluster.pids("worker-1") not in ([], [before]))

    places = cluster.places()
    assert places.keys() >= LASTING | {"Kafka", "PostgreSQL", "Prometheus"}
    for role in LASTING:
        ready = places[role]
        cluster.until(lambda: json.loads(fetched(ready))["status"] == "ready")  # noqa: B023
    check_figures({places[role].replace("/readyz", "/metrics") for role in LASTING})
    cluster.until(lambda: targets(places["Prometheus"]) == ["up"] * len(LASTING))

    cluster.process.kill()
    cluster.process.wait()
    cluster.until(lambda: cluster.pids() == [])
    cluster.start()
    assert cluster.answered() == 1_000
    cluster.send(900, 200)  # half of them again
    cluster.until(lambda: cluster.answered() == 1_100)

    cluster.process.send_signal(signal.SIGINT)
    assert cluster.process.wait(30) == 0, cluster.said()
    assert cluster.said().endswith("everything has ended\n")
    assert cluster.pids() == []
    assert "Traceback" not in cluster.said()


def check_figures(places: set[str]) -> None:
    """Whatever rules and dashboards ask for is told by some role."""
    told = set(re.findall(r"^(\w+)", "\n".join(fetched(p).decode() for p in places), re.M))
    asked = set(re.findall(r"\b(?:penstock|process)_\w+", " ".join(
        [*QUERIES, *(rule["expr"] for rule in RULES)])))  # fmt: skip
    assert asked - LATER - told == set()


def targets(prometheus: str) -> list[str]:
    active = json.loads(fetched(f"{prometheus}/api/v1/targets"))["data"]["activeTargets"]
    return [target["health"] for target in active]


def test_another_programs_folder_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("x")

    refused = subprocess.run(
        [sys.executable, "-m", "deploy.cluster_local", "--data", tmp_path, "--wipe"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert refused.returncode == 1
    assert "is not empty and holds no cluster" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
