"""The control child: duties that one process at a time does, under a lease.

Each duty has a thread of its own, so that a long one (retention after a week's pause) keeps
neither the lease from being renewed nor the relay from sending.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Engine

from streams.db import leases
from streams.db.engine import writing
from streams.db.leases import Lease
from streams.errors import ConflictError, Error

LEASE = "control"
LEASE_MS = 10_000
RENEW_S = 2.0

_log = logging.getLogger(__name__)


class Duty(msgspec.Struct, frozen=True):
    """Something to do again and again; safe to repeat, and safe if two processes overlap.

    `run` returns whether there is more to do at once. It may raise our errors: they are said
    once, and it is tried again after `every_s`.
    """

    name: str
    every_s: float
    run: Callable[[], object]


class Done(msgspec.Struct):
    """What became of one duty since this process began."""

    runs: int = 0
    failures: int = 0
    last_ms: int = 0  # wall time at which it last ended well; 0 before
    fault: str = ""  # why it failed the last time, or empty


class Control:
    """Does the duties while it holds the lease, and waits for it otherwise."""

    def __init__(self, engine: Engine, duties: Sequence[Duty], *, owner: str) -> None:
        self._engine = engine
        self._duties = duties
        self._owner = owner
        self._lease: Lease | None = None
        self.holds = threading.Event()
        self.done: dict[str, Done] = {duty.name: Done() for duty in duties}

    def run(self, stop: threading.Event, *, tick: Callable[[], None] = lambda: None) -> None:
        """Returns once `stop` is set and every duty has ended; the lease is free then.

        `tick` is called in every round of keeping the lease.
        """
        threads = [
            threading.Thread(target=self._serve, args=(duty, stop), name=duty.name)
            for duty in self._duties
        ]
        for thread in threads:
            thread.start()
        fault = ""
        while not stop.is_set():
            tick()
            try:
                self._keep()
                fault = ""
            except Error as error:
                self.holds.clear()
                fault = _said(LEASE, error, fault)
            stop.wait(RENEW_S)
        for thread in threads:
            thread.join()
        self._release()

    def _serve(self, duty: Duty, stop: threading.Event) -> None:
        done = self.done[duty.name]
        pause_s = 0.0
        while not stop.wait(pause_s):
            pause_s = min(duty.every_s, 0.1)
            if not self.holds.is_set():
                continue
            try:
                pause_s = 0.0 if duty.run() is True else duty.every_s
                done.runs, done.last_ms, done.fault = done.runs + 1, _wall_ms(), ""
            except Error as error:
                done.failures += 1
                done.fault = _said(duty.name, error, done.fault)
                pause_s = max(duty.every_s, 1.0)

    def _keep(self) -> None:
        """Holds the lease for another while, if it is to be had."""
        now_ms, held = _wall_ms(), self.holds.is_set()
        with writing(self._engine) as connection:
            if self._lease is not None:
                try:
                    self._lease = leases.renew(
                        connection, self._lease, now_ms=now_ms, lease_ms=LEASE_MS
                    )
                except ConflictError:
                    self._lease = None
            if self._lease is None:
                self._lease = leases.acquire(
                    connection, name=LEASE, owner=self._owner, now_ms=now_ms, lease_ms=LEASE_MS
                )
        (self.holds.set if self._lease is not None else self.holds.clear)()
        if held != self.holds.is_set():
            _log.info("does the duties" if not held else "another does the duties")

    def _release(self) -> None:
        if self._lease is None:
            return
        try:
            with writing(self._engine) as connection:
                leases.release(connection, self._lease)
        except Error as error:
            _said(LEASE, error, "")  # it runs out by itself


def _said(name: str, error: Error, before: str) -> str:
    """What was logged: a fault that stays is said once, not at every try."""
    if error.message != before:
        _log.warning("%s: %s", name, error.message)
    return error.message


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
