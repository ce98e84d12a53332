"""What ingest must know about the rest: looked at once a second by a thread of its own.

Requests only read what the last look found, so a slow database or disk never makes them wait.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from sqlalchemy import Engine

from penstock.settings import Settings
from penstock.web.problems import Problem
from streams import plans, positions
from streams.db.engine import reading
from streams.errors import Error
from streams.keys import KeyRing
from streams.logs.base import Log

LOOK_S = 1.0
RETRY_AFTER_S = 5
GUESSED_RECORD_BYTES = 16 << 10

_log = logging.getLogger(__name__)


class Seen(msgspec.Struct, frozen=True):
    """What one look found; a field stays as it was while its place cannot be reached."""

    lag: Mapping[int, int] = {}  # records that intake has not counted, by partition
    counted: int = 0  # events that intake has counted, ever
    dead: int = 0  # dead letters that it has written, ever
    free_bytes: int | None = None  # of the disk that holds the log; None without a file
    log_bytes: int = 0  # of the log's files
    log_fault: str = ""  # why the log cannot be read, or empty
    database_fault: str = ""  # why the results cannot be read, or empty
    models: frozenset[str] = frozenset()  # declared ones


class Watch:
    """Looks once a second from `start` to `stop`; `seen` is the last look.

    Args:
        consumer: whose positions count as intake's.
        record_bytes: the mean size of the records that this process appends, or 0 before any.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        log: Log,
        engine: Engine,
        keys: KeyRing,
        topic: str,
        consumer: str,
        record_bytes: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._log = log
        self._engine = engine
        self._keys = keys
        self._topic = topic
        self._consumer = consumer
        self._record_bytes = record_bytes
        self._plan_seq = 0
        self._ends: Mapping[int, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.seen = Seen()

    def start(self) -> None:
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """`seen` is how things stand now."""
        seen = self._looked_at_log(self.seen)
        try:
            self._keys.refresh(time.time_ns() // 1_000_000)
            seen = self._looked_at_results(seen)
        except Error as error:
            seen = msgspec.structs.replace(seen, database_fault=error.message)
        if seen.database_fault and not self.seen.database_fault:
            _log.warning("the results cannot be read: %s", seen.database_fault)
        self.seen = seen

    def refusal(self) -> Problem | None:
        """Why no events are taken now, or None."""
        seen, settings = self.seen, self._settings
        if seen.free_bytes is not None and seen.free_bytes < settings.disk_reserve_bytes:
            return Problem(
                "disk-full",
                f"{seen.free_bytes >> 20} MiB are free, {settings.disk_reserve_bytes >> 20} MiB"
                " are kept in reserve",
                retry_after_s=RETRY_AFTER_S,
            )
        if seen.log_fault:
            return Problem("log-unavailable", retry_after_s=RETRY_AFTER_S)
        waiting = self.backlog_bytes()
        if waiting > settings.high_water_bytes:
            return Problem(
                "intake-behind",
                f"about {waiting >> 20} MiB wait for intake; more than"
                f" {settings.high_water_bytes >> 20} MiB may not",
                retry_after_s=RETRY_AFTER_S,
            )
        return None

    def backlog_bytes(self) -> int:
        """About how much intake has not counted yet."""
        mean = self._record_bytes() or GUESSED_RECORD_BYTES
        return int(sum(self.seen.lag.values()) * mean)

    def _looked_at_log(self, seen: Seen) -> Seen:
        path = self._settings.log_path
        try:
            ends = {p: b.end for p, b in self._log.bounds(self._topic).items()}
        except Error as error:
            return msgspec.structs.replace(seen, log_fault=error.message)
        self._ends = ends
        return msgspec.structs.replace(
            seen,
            log_fault="",
            free_bytes=shutil.disk_usage(path.parent).free if path.exists() else None,
            log_bytes=_size(path) + _size(path.with_name(path.name + "-wal")),
        )

    def _looked_at_results(self, seen: Seen) -> Seen:
        with reading(self._engine) as connection:
            standing = positions.standing(connection, consumer=self._consumer, topic=self._topic)
            counted, dead = positions.counted(
                connection, consumer=self._consumer, topic=self._topic
            )
            new_plans = plans.read(connection, after_seq=self._plan_seq)
        self._plan_seq = max((plan.seq for plan in new_plans), default=self._plan_seq)
        declared = {plan.id for plan in new_plans if plan.kind == plans.MODEL}
        return msgspec.structs.replace(
            seen,
            lag=positions.behind(self._ends, standing),
            counted=counted,
            dead=dead,
            database_fault="",
            models=seen.models | declared,
        )

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_S):
            try:
                self.look()
            except Exception:  # the thread outlives what it looks at
                _log.exception("looking at the log and the results failed; trying again")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
