"""A folder for each test, the command line in this process, and a real `penstock up` to talk to."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import main


class Said:
    """What one command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    monkeypatch.setenv("PENSTOCK_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def penstock(capsys, data_dir):
    """Runs a command on the test's own data folder."""
    del data_dir

    def run(*args: str) -> Said:
        capsys.readouterr()
        code = main.run(list(args))
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def installed(penstock):
    """The same, on an installation that is ready."""
    assert penstock("db", "upgrade").code == 0
    return penstock


class Up:
    """A running `penstock up`."""

    def __init__(self, folder: Path, port: int, **settings: str) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}"
        own = {"PENSTOCK_DATA_DIR": str(folder), "PENSTOCK_PORT": str(port)}
        self.env = os.environ | own | settings
        self.process = subprocess.Popen(
            [sys.executable, "-m", "penstock.cli.main", "up"],
            env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ready(self) -> "Up":
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=1).close()
            except OSError:
                assert self.process.poll() is None, self.process.communicate()
                time.sleep(0.05)
            else:
                return self
        raise AssertionError("up did not come up")

    def run(self, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "penstock.cli.main", *args],
            env=self.env | {"PENSTOCK_SERVER": self.url}, input=stdin, capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip

    def children(self) -> list[int]:
        """Process ids of the children, from the kernel."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Ends it; returns the exit code, stdout and stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One installation for the tests of a module, running."""
    running = Up(tmp_path_factory.mktemp("up") / "data", free_port())
    try:
        yield running.ready()
    finally:
        running.stop()


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def prediction(number: int, **fields: Any) -> dict[str, Any]:
    known = {
        "type": "io.penstock.prediction.v1",
        "model": "spam",
        "version": "v1",
        "prediction_id": f"p-{number}",
        "time": int(time.time() * 1000),
        "output": {"label": "spam", "score": 0.9},
    }
    return known | fields


def written(path: Path, *rows: Sequence[str] | str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path
