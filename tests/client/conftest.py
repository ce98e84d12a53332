"""A small real server, and clients that talk to it."""

import gzip
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import penstock_client
import pytest

Event = dict[str, Any]
Answer = Callable[["Handler", list[Event]], None]
QUICK = penstock_client.Limits(backoff_min_s=0.05, backoff_max_s=0.2, flush_ms=10, timeout_s=5)


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the answer that its server is set to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Remote"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        events = [json.loads(line) for line in body.splitlines()]
        self.server.requests.append((self.path, dict(self.headers), body))
        self.server.answer(self, events)

    def do_GET(self) -> None:
        self.server.polls.append((self.path, dict(self.headers)))
        self.server.route(self)

    def reply(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


class Remote(ThreadingHTTPServer):
    """Stands in for Penstock: keeps what it takes, and answers as it is told to."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answer: Answer = take
        self.route: Callable[[Handler], None] = no_route
        self.polls: list[tuple[str, dict[str, str]]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.taken: list[Event] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that went away is part of the story."""

    def of(self, kind: str) -> list[Event]:
        """What was taken of one kind, such as `prediction`."""
        return [event for event in self.taken if event["type"] == f"io.penstock.{kind}.v1"]

    def counts(self) -> Event:
        """Assigned, answered and dropped over all instances: the highest that each has said."""
        highest: dict[tuple[Any, ...], Event] = {}
        for event in self.of("assigned"):
            key = (event["instance"], event["minute"], event["route"], event["arm"])
            known = highest.setdefault(key, dict.fromkeys(("assigned", "answered", "dropped"), 0))
            for name in known:
                known[name] = max(known[name], event[name])
        return {
            name: sum(counts[name] for counts in highest.values())
            for name in ("assigned", "answered", "dropped")
        }


def take(handler: Handler, events: list[Event]) -> None:
    """All of it is durably written."""
    handler.server.taken += events
    handler.reply(202, {"accepted": len(events), "duplicate": 0, "rejected": []})


def no_route(handler: Handler) -> None:
    """No route table was ever published."""
    handler.reply(404, {"type": "/problems/no-route"})


def status(code: int, **headers: str) -> Answer:
    """A problem, with nothing taken."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.reply(code, {"title": "a problem"}, named)


def reset(handler: Handler, _: list[Event]) -> None:
    """The connection ends in the middle, the hard way."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def garbage(handler: Handler, _: list[Event]) -> None:
    """What comes back is not HTTP."""
    handler.wfile.write(b"\x16\x03\x01 SSH-2.0 hello\r\n\r\n")
    handler.close_connection = True


def captive(handler: Handler, _: list[Event]) -> None:
    """Somebody else says 202."""
    handler.reply(202, b"<html>Please sign in</html>")


def slow(seconds: float) -> Answer:
    """It is taken, but late."""

    def answer(handler: Handler, events: list[Event]) -> None:
        time.sleep(seconds)
        take(handler, events)

    return answer


@contextmanager
def serving(server: Remote) -> Iterator[Remote]:
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def remote() -> Iterator[Remote]:
    with serving(Remote()) as server:
        yield server


@pytest.fixture
def returning() -> Iterator[tuple[str, Callable[..., Remote]]]:
    """The URL of a server that is away, and what brings it back with a route's answer."""
    with Remote() as gone:
        port, url = gone.server_port, gone.url
    with ExitStack() as stack:

        def come_back(route: Callable[[Handler], None] = no_route) -> Remote:
            server = Remote(port)
            server.route = route
            return stack.enter_context(serving(server))

        yield url, come_back


@pytest.fixture
def answers() -> dict[str, Any]:
    """The manners in which the server can answer, by name."""
    return {
        "take": take,
        "status": status,
        "reset": reset,
        "garbage": garbage,
        "captive": captive,
        "slow": slow,
    }


@pytest.fixture
def connect(remote: Remote, tmp_path: Path) -> Iterator[Callable[..., penstock_client.Client]]:
    """Makes clients of that server; they are closed at the end."""
    clients = []

    def make(**settings: Any) -> penstock_client.Client:
        given = {"champion": "41", "state_dir": tmp_path / "state", "limits": QUICK} | settings
        url = given.pop("url", remote.url)
        client = penstock_client.Client(url, given.pop("model", "digits"), **given)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close(timeout_s=0.2)


@pytest.fixture
def run_script(remote: Remote, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a script with `client`, `penstock_client` and `os` at hand; it must end well."""

    def run(script: str, *, ends: int = 0, **settings: Any) -> "subprocess.CompletedProcess[str]":
        given = {"champion": "41", "state_dir": str(tmp_path / "state")} | settings
        head = (
            "import os, signal, sys, time, penstock_client\n"
            f"client = penstock_client.Client({remote.url!r}, 'digits', **{given!r})\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", head + script],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == ends, done.stderr
        return done

    return run


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until something is true, for five seconds at most."""

    def wait(true: Callable[[], object]) -> None:
        deadline = time.monotonic() + 5
        while not true():
            assert time.monotonic() < deadline, "it never became true"
            time.sleep(0.01)

    return wait
