"""Serves an app in this process until it is told to stop."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from streams.errors import ConfigError

GRACE_S = 1  # shorter than the child's own, which ends it hard
_BACKLOG = 512


class _Server(uvicorn.Server):
    """Leaves signals to the process that it runs in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    app: FastAPI,
    host: str,
    port: int,
    stop: threading.Event,
    *,
    started: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serves until `stop` is set, then ends within about 2 s: requests under way are answered.

    `started` is told the port (another than asked for when that was 0) once it is open. Raises
    ConfigError when the address cannot be taken.
    """
    with _listening(host, port) as listener:
        started(listener.getsockname()[1])
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
                h11_max_incomplete_event_size=64 << 10,
            )
        )
        threading.Thread(target=_end, args=(server, stop), name="stop", daemon=True).start()
        server.run(sockets=[listener])
        stop.set()


def _end(server: uvicorn.Server, stop: threading.Event) -> None:
    stop.wait()
    server.should_exit = True


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}",
            why=error.strerror or str(error),
            fix="end what listens there, or choose another with PENSTOCK_PORT",
        ) from error
    # Connections inherit it. asyncio would set it itself, but not on what `create_server` makes,
    # and without it every answer waits 40 ms for an acknowledgement of its first half.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener
