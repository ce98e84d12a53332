"""Over real sockets: how the server ends, and what hostile or dying clients cost it."""

import gzip
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from penstock.web.serve import serve
from streams.errors import ConfigError
from tests.web.places import Place, lines, prediction

ROOT = Path(__file__).parents[2]
HEAD = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


class Server:
    """A server process on the installation in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.server", str(folder)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def memory_mb(self) -> float:
        """The most that the process ever held."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) / 1024

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[float, str]:
        """The seconds that ending took, and what was logged."""
        began = time.monotonic()
        self.process.send_signal(how)
        errors = self.process.communicate(timeout=20)[1]
        return time.monotonic() - began, errors

    def kept(self) -> list[str]:
        place = Place(self.folder)
        ids = [event.prediction_id for _, event in place.kept()[0]]
        place.close()
        return ids


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    if server.process.poll() is None:
        server.end(signal.SIGKILL)


def post(server: Server, body: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/events", content=body)


def test_it_ends_within_its_grace_and_answers_what_is_under_way(server):
    answers: list[int] = []
    idle = server.connect()
    half = server.connect()
    half.sendall(HEAD % 100 + b"{")

    def keep_sending() -> None:
        with httpx.Client() as client:
            for k in range(10_000):
                try:
                    answers.append(
                        client.post(
                            f"{server.url}/v1/events", content=lines(prediction(k))
                        ).status_code
                    )
                except httpx.TransportError:
                    return

    sender = threading.Thread(target=keep_sending)
    sender.start()
    time.sleep(0.5)

    took_s, errors = server.end()

    sender.join()
    assert half.recv(65_536).startswith(b"HTTP/1.1 503")
    idle.close()
    half.close()
    assert took_s < 4
    assert server.process.returncode == 0
    assert answers
    assert set(answers) == {202}
    kept = server.kept()
    assert {f"p-{k}" for k in range(len(answers))} <= set(kept)
    assert len(kept) <= len(answers) + 1  # at most one went in unanswered
    assert "Traceback" not in errors


def test_what_was_acknowledged_before_a_kill_is_in_the_log(server):
    acknowledged: list[int] = []

    def send(first: int) -> None:
        with httpx.Client() as client:
            for k in range(first, first + 100_000):
                try:
                    answer = client.post(f"{server.url}/v1/events", content=lines(prediction(k)))
                except httpx.TransportError:
                    return
                assert answer.status_code == 202
                acknowledged.append(k)

    senders = [threading.Thread(target=send, args=(n * 100_000,)) for n in range(3)]
    for sender in senders:
        sender.start()
    time.sleep(0.7)

    server.end(signal.SIGKILL)

    for sender in senders:
        sender.join()
    kept = server.kept()
    assert acknowledged
    assert {f"p-{k}" for k in acknowledged} <= set(kept)
    assert len(kept) == len(set(kept)) <= len(acknowledged) + len(senders)


def test_a_client_that_dies_in_the_middle_leaves_nothing_behind(server):
    body = lines(*[prediction(k) for k in range(500)])
    for _ in range(20):
        with server.connect() as dying:
            dying.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
            dying.sendall(HEAD % len(body) + body[: len(body) // 2])

    assert post(server, lines(prediction(7))).json()["accepted"] == 1

    _, errors = server.end()
    assert server.kept() == ["p-7"]
    assert errors == ""


def test_a_body_that_is_too_large_is_answered_before_the_connection_ends(server):
    answer = post(server, b" " * (3 << 20))

    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/body-too-large"


def test_gzip_bombs_cost_no_memory(server):
    bomb = gzip.compress(bytes(200 << 20))
    post(server, lines(prediction(1)))
    before = server.memory_mb()

    for _ in range(5):
        answer = httpx.post(
            f"{server.url}/v1/events", content=bomb, headers={"content-encoding": "gzip"}
        )
        assert answer.status_code == 413

    assert server.memory_mb() - before < 40


def test_probes_are_answered_while_large_bodies_are_read(server):
    body = lines(*[prediction(k, notes="x" * 800) for k in range(900)])
    stop = threading.Event()

    def flood() -> None:
        with httpx.Client() as client:
            while not stop.is_set():
                assert client.post(f"{server.url}/v1/events", content=body).status_code == 202

    senders = [threading.Thread(target=flood) for _ in range(3)]
    for sender in senders:
        sender.start()
    slowest = 0.0
    with httpx.Client() as client:
        for _ in range(30):
            began = time.monotonic()
            assert client.get(f"{server.url}/healthz").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.02)
    stop.set()
    for sender in senders:
        sender.join()

    assert slowest < 1.0


def test_a_port_that_is_taken_is_an_error_that_says_so(place):
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match="cannot listen on") as refused,
    ):
        serve(place.app, "127.0.0.1", taken.getsockname()[1], threading.Event())

    assert "PENSTOCK_PORT" in refused.value.fix


def test_it_runs_in_any_thread_and_stops_when_told(place):
    stop, started, ports = threading.Event(), threading.Event(), list[int]()

    def on_start(port: int) -> None:
        ports.append(port)
        started.set()

    thread = threading.Thread(
        target=serve, args=(place.app, "127.0.0.1", 0, stop), kwargs={"started": on_start}
    )
    thread.start()
    started.wait(5)
    answer = httpx.get(f"http://127.0.0.1:{ports[0]}/healthz")
    stop.set()
    thread.join(5)

    assert json.loads(answer.text) == {"status": "live"}
    assert not thread.is_alive()
