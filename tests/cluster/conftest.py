"""An installation on a real Kafka broker and PostgreSQL, each role a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock import topics
from penstock.installation import prepare
from penstock.migrations import upgrade
from penstock.settings import ENGINES, Settings, read_settings
from tests.cli.conftest import free_port

PATIENCE_S = 60


class Place:
    """The environment of one installation, and the processes that play its roles."""

    def __init__(self, folder: Path, port: int, **settings: str) -> None:
        own = {"PENSTOCK_DATA_DIR": str(folder), "PENSTOCK_PORT": str(port)}
        self.env = os.environ | own | settings
        self.url = f"http://127.0.0.1:{port}"
        self.said = folder.parent / "said"  # by every role, on stderr
        self.playing: list[subprocess.Popen[str]] = []

    @property
    def settings(self) -> Settings:
        """The installation, for this process."""
        return read_settings({k: v for k, v in self.env.items() if k.startswith("PENSTOCK_")})

    def run(self, *args: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """One command, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "penstock.cli.main", *args],
            env=self.env, input=stdin, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def play(self, role: str, name: str = "") -> "subprocess.Popen[str]":
        """A role as a process; `name` is its own in the cluster."""
        with self.said.open("a") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "penstock.cli.main", role],
                env=self.env | ({"PENSTOCK_WORKER": name} if name else {}),
                stdout=subprocess.DEVNULL, stderr=said, text=True,
            )  # fmt: skip
        self.playing.append(process)
        return process

    def serve(self) -> None:
        """The web role answers."""
        self.play("web")
        self.until(self._answers)

    def counted(self) -> int:
        """Events counted so far, by every worker."""
        with urllib.request.urlopen(f"{self.url}/v1/pipe", timeout=5) as answer:
            return int(json.load(answer)["counted"])

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.said.read_text()
            for process in self.playing:
                assert process.poll() in (None, -signal.SIGKILL), self.said.read_text()
            time.sleep(0.05)

    def end(self) -> None:
        for process in self.playing:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/healthz", timeout=1).close()
        except OSError:
            return False
        return True


@pytest.fixture
def postgres_url(postgres_server) -> Iterator[str]:
    """Of a database with the schema."""
    with postgres_server.fresh(upgrade) as url:
        yield url


@pytest.fixture
def bare(tmp_path, kafka_server, topic_prefix, postgres_server) -> Iterator[Place]:
    """Settings that name a broker and a database, and nothing made in either."""
    with (
        postgres_server.fresh() as url,
        _placed(tmp_path, kafka_server.address, topic_prefix, url) as place,
    ):
        yield place


@pytest.fixture
def place(tmp_path, kafka_server, topic_prefix, postgres_url) -> Iterator[Place]:
    """The same with topics and schema."""
    with _placed(tmp_path, kafka_server.address, topic_prefix, postgres_url) as place:
        topics.ensure(place.settings)
        prepare(place.settings)
        yield place


@contextmanager
def _placed(folder: Path, servers: str, prefix: str, database: str) -> Iterator[Place]:
    place = Place(
        folder / "data",
        free_port(),
        PENSTOCK_KAFKA_SERVERS=servers,
        PENSTOCK_KAFKA_PREFIX=prefix,
        PENSTOCK_DATABASE_URL=database,
    )
    try:
        yield place
    finally:
        place.end()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """What workers read Kafka with."""
    return str(request.param)
