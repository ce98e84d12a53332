"""Receivers of webhooks: real servers on this machine, that do as they are told."""

import ssl
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from msgspec import Struct


class Request(Struct, frozen=True):
    """What came: `headers` in lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Receiver"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append(Request(headers, body))
        with self.server.lock:
            script = self.server.script
            behave = script.popleft() if script else self.server.otherwise
        behave(self)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


Behaviour = Callable[[Handler], None]


def says(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    return lambda handler: handler.answer(status, body, **headers)


TAKES = says(204)
CERTIFICATE = Path(__file__).with_name("localhost.pem")


class Receiver(ThreadingHTTPServer):
    """Behaves as `script` says, request by request, and as `otherwise` after it."""

    daemon_threads = True

    def __init__(self, *script: Behaviour, otherwise: Behaviour = TAKES, tls: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.script, self.otherwise = deque(script), otherwise
        self.got: list[Request] = []
        self.lock = threading.Lock()
        self.freed = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"

    def hangs(self, handler: Handler) -> None:
        """Answers nothing until the receiver ends."""
        self.freed.wait(30)
        handler.close_connection = True

    def drips(self, handler: Handler) -> None:
        """Sends its headers a letter at a time, each in time for itself."""
        for letter in b"HTTP/1.1 200 OK\r\n" + b"x" * 10_000:
            if self.freed.wait(0.02):
                break
            try:
                handler.wfile.write(bytes([letter]))
            except OSError:
                break
        handler.close_connection = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Who called has gone: that is what some of these are for."""

    def close(self) -> None:
        self.freed.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
