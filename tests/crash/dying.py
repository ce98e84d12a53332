"""Processes that SIGKILL themselves right before their k-th SQL statement, on any connection.

Counted is what the drivers are asked for: every statement and every row of an `executemany`,
BEGIN, COMMIT and PRAGMAs with it. So k runs over all instants between two statements.
"""

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from rollout.closer import UnitCloser
from streams.closer import Closer
from streams.db.engine import connect
from streams.logs.base import Record
from streams.logs.embedded import EmbeddedLog
from streams.topics import EVENTS
from tests.streams import spine

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__, "penstock.installation", "rollout.watching"])


def lives(k: int, work: Callable[..., None], *args: Any, about: str = "") -> bool:
    """Runs `work(*args)` in a process that dies before its k-th statement; False if it did.

    Args:
        about: only statements with this text are counted.
    """
    process = _processes.Process(target=_dying, args=(k, work, args, about))
    process.start()
    process.join()
    status = process.exitcode
    process.close()
    assert status in (0, -signal.SIGKILL), f"{work.__name__} failed before statement {k}"
    return status == 0


def pipe() -> Any:
    """(receiver, sender) to hear from such a process."""
    return _processes.Pipe(duplex=False)


def _dying(k: int, work: Callable[..., None], args: tuple[Any, ...], about: str) -> None:
    statements = count()

    def due(*told: object) -> None:
        if about in str(told) and next(statements) == k:
            os.kill(os.getpid(), signal.SIGKILL)

    _watch_sqlite(due)
    _watch_psycopg(due)
    work(*args)


def _watch_sqlite(due: Callable[..., None]) -> None:
    plain = sqlite3.connect

    def watched(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = plain(*args, **options)
        connection.set_trace_callback(due)
        return connection

    sqlite3.connect = sqlite3.dbapi2.connect = watched


def _watch_psycopg(due: Callable[..., None]) -> None:
    def watched(plain: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            due(*args[1:2])
            return plain(*args, **options)

        return call

    for kind, names in (
        (psycopg.Cursor, ("execute", "executemany", "copy")),
        (psycopg.Connection, ("commit",)),
    ):
        for name in names:
            setattr(kind, name, watched(getattr(kind, name)))


class Sips:
    """A log that is read one record at a time, so that a few records make many batches."""

    def __init__(self, log: EmbeddedLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def reader(self, topic: str, *, group: str) -> "_SippingReader":
        return _SippingReader(self._log.reader(topic, group=group))


class _SippingReader:
    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def poll(self, *, max_bytes: int, timeout_s: float) -> list[Record]:
        del max_bytes
        return self._reader.poll(max_bytes=1, timeout_s=timeout_s)


def count_all(url: str, log_path: Path, now_ms: int) -> None:
    """Intake, closer and relay, one after the other, until nothing is left to do."""
    clock = spine.Hands(now_ms)
    engine = connect(url)
    try:
        with closing(EmbeddedLog(log_path, clock=clock)) as log:
            owner = f"at {now_ms}"
            worker = spine.pipeline(Sips(log), engine, clock=clock, owner=owner)
            try:
                spine.settle(worker, log, engine, clock=clock)
                while Closer(engine, clock=clock).step():
                    spine.settle(worker, log, engine, clock=clock)
            finally:
                worker.close()
    finally:
        engine.dispose()


def close_units(url: str, partitions: int) -> None:
    """The closer of sticky units, until nothing is left to do."""
    engine = connect(url)
    try:
        closer = UnitCloser(engine, partitions=lambda: partitions, topic=EVENTS.name)
        while closer.step() or closer.step():  # what it counted may free what it can forget
            pass
    finally:
        engine.dispose()
