"""One worker under a steady load, then with nothing to do: its memory and its idle CPU."""

import threading
import time
from collections.abc import Callable
from itertools import islice

import msgspec

from benchmarks.soak.site import Site
from benchmarks.soak.watching import Watch
from benchmarks.traffic import Traffic, declaration
from penstock.installation import Installation, opened
from streams import positions, registry
from streams.db.engine import reading, writing
from streams.envelopes import pack
from streams.logs.base import Log
from streams.topics import EVENTS
from tests.cluster.fleet import Fleet

FEATURES = 6
ENVELOPE = 100  # events in one
APPENDS_A_S = 10
LOOK_S = 10.0
PATIENCE_S = 1_200.0  # a machine that is too slow for the rate has a backlog first
QUIET_S = 40.0  # longer than a partition is idle before its watermark follows the clock
ROLES = {"control": "control", "w1": "worker"}


class Steady(msgspec.Struct, frozen=True):
    """What was measured of one worker."""

    asked_per_s: float
    busy: Watch
    idle: Watch


class Feeder(threading.Thread):
    """Appends envelopes at `per_s` events a second, their event time the wall's."""

    def __init__(self, log: Log, *, per_s: float) -> None:
        super().__init__(daemon=True)
        self._log = log
        self._per_s = per_s
        step_ms = 1000 / (0.7 * per_s)  # seven events of ten begin a request
        now_ms = time.time_ns() // 1_000_000
        self._traffic = Traffic(features=FEATURES, start_ms=now_ms, step_ms=step_ms)
        self._end = threading.Event()
        self.fed = 0

    def run(self) -> None:
        envelopes = self._traffic.envelopes(2**40, size=ENVELOPE)
        each = max(1, int(self._per_s / ENVELOPE / APPENDS_A_S))
        began_s = time.monotonic()
        while not self._end.is_set():
            batch = list(islice(envelopes, each))
            self._log.append(EVENTS.name, [(p, pack(lines)) for p, lines in batch])
            self.fed += sum(len(lines) for _, lines in batch)
            ahead_s = self.fed / self._per_s - (time.monotonic() - began_s)
            self._end.wait(max(0.0, ahead_s))

    def end(self) -> None:
        self._end.set()
        self.join()


def steady(site: Site, *, minutes: float, idle_minutes: float, per_s: float) -> Steady:
    """A worker's samples over so many minutes of load, then of nothing to do."""
    fleet = Fleet(site.environ, site.folder / "steady.log", roles=ROLES)
    try:
        with opened(site.settings) as here:
            return _steady(fleet, here, minutes, idle_minutes, per_s)
    finally:
        fleet.kill()


def _steady(
    fleet: Fleet, here: Installation, minutes: float, idle_minutes: float, per_s: float
) -> Steady:
    def counted() -> int:
        with reading(here.engine) as connection:
            return positions.counted(connection, consumer="intake", topic=EVENTS.name)[0]

    with writing(here.engine) as connection:
        registry.register(connection, declaration(), now_ms=0, by="soak")
    fleet.keep_up()
    feeder = Feeder(here.log, per_s=per_s)
    feeder.start()
    _until(lambda: counted() > 0, fleet)
    worker = fleet.pids()["w1"]
    busy = _watched(Watch(worker, counted), minutes)
    feeder.end()
    _until(lambda: counted() >= feeder.fed, fleet)
    time.sleep(QUIET_S)
    idle = _watched(Watch(worker, counted), idle_minutes)
    assert fleet.stop() == 0, fleet.said
    return Steady(per_s, busy, idle)


def _watched(watch: Watch, minutes: float) -> Watch:
    """It has samples of so many minutes."""
    end_s = time.monotonic() + 60 * minutes
    watch.look()
    while (left_s := end_s - time.monotonic()) > 0:
        time.sleep(min(LOOK_S, left_s))
        watch.look()
    return watch


def _until(reached: Callable[[], bool], fleet: Fleet) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not reached within {PATIENCE_S:g} s\n{fleet.said}")
        time.sleep(0.1)
