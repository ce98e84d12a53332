"""A process is seen by the others, in the database, while it plays its role."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import Engine

from penstock.installed import release
from streams import presence
from streams.db.engine import writing
from streams.errors import Error
from streams.presence import Process, Told

KEEP_S = 5.0
LEAVE_S = 0.5  # a database that is away keeps nobody from ending
FRESH_MS = 20_000
"""One that was not seen for so long has ended, or is cut off from the database."""
FORGET_MS = 600_000
"""One that ended without a word is shown until then."""

_log = logging.getLogger(__name__)


@contextmanager
def present(engine: Engine, *, name: str, role: str, tell: Callable[[], Told]) -> Iterator[None]:
    """The row of this process is kept fresh, and says so when it ends. `tell` must not block."""
    started_ms = time.time_ns() // 1_000_000
    here = Process(name, role, os.uname().nodename, os.getpid(), release(), started_ms, 0, Told())
    stop = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(engine, here, tell, stop), name="presence", daemon=True
    )
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join(LEAVE_S)


def _keep(engine: Engine, here: Process, tell: Callable[[], Told], stop: threading.Event) -> None:
    while not stop.is_set():
        now_ms = time.time_ns() // 1_000_000
        try:
            with writing(engine) as connection:
                presence.keep(
                    connection, msgspec.structs.replace(here, seen_ms=now_ms, told=tell())
                )
        except Error as error:  # the role's own loop says so; others see that it is not seen
            _log.debug("presence: %s", error.message)
        stop.wait(KEEP_S)
    try:
        with writing(engine) as connection:
            presence.leave(connection, here.name, pid=here.pid)
    except Error as error:
        _log.debug("presence: %s", error.message)
