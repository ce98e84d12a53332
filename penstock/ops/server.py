"""`/healthz`, `/readyz` and `/metrics` of a process that serves nothing else."""

import logging
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from penstock.ops.vitals import Vitals
from streams.errors import ConfigError

JSON = "application/json"
READ_S = 5.0  # how long a request may take to arrive

_log = logging.getLogger(__name__)


@contextmanager
def serving(vitals: Vitals, host: str, port: int) -> Iterator[None]:
    """The three paths answer at `host:port`; port 0 means that nothing listens.

    Raises ConfigError when the address cannot be taken.
    """
    if not port:
        yield
        return
    with _listening(vitals, host, port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="ops", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, vitals: Vitals, host: str, port: int) -> None:
        self.vitals = vitals
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host.strip("[]"), port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """One who asks and goes before the answer is no event; anything else is a bug of ours."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("an answer about this process failed")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = READ_S

    def do_GET(self) -> None:
        vitals = self.server.vitals
        match self.path.partition("?")[0]:
            case "/healthz":
                status, body = vitals.liveness()
                self._answer(status, msgspec.json.encode(body), JSON)
            case "/readyz":
                status, body = vitals.readiness()
                self._answer(status, msgspec.json.encode(body), JSON)
            case "/metrics":
                self._answer(200, generate_latest(vitals.registry), CONTENT_TYPE_LATEST)
            case _:
                known = {"paths": ["/healthz", "/readyz", "/metrics"]}
                self._answer(404, msgspec.json.encode(known), JSON)

    do_HEAD = do_GET  # noqa: N815 - the names are the standard library's

    def version_string(self) -> str:
        return "penstock"

    def log_message(self, format: str, *args: object) -> None:
        """Being asked how one does is no event."""

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _listening(vitals: Vitals, host: str, port: int) -> _Server:
    try:
        return _Server(vitals, host, port)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port} for health and metrics",
            why=error.strerror or str(error),
            fix="end what listens there, or choose another with PENSTOCK_OPS_PORT",
        ) from error
