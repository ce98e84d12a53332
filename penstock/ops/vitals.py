"""What a process says of itself while it plays a role."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Info, ProcessCollector
from prometheus_client.core import Metric

from penstock.installed import release
from penstock.ops import health
from penstock.ops.health import Check
from streams.presence import Told

LIVE_S = 60.0
"""Longer than a round of any loop that waits for a broker or a database: these have time-outs."""


class Watched(Protocol):
    """A role that is being played, watched from outside of its loops."""

    @property
    def checks(self) -> Mapping[str, Check]:
        """What must hold for the role to do its job."""
        ...

    def collect(self) -> Iterator[Metric]:
        """Its metrics now: what a collector of prometheus_client tells."""
        ...

    def tell(self) -> Told:
        """What the other processes may know; does not block."""
        ...


class Vitals:
    """Written by the loop of the role, read by whoever asks the process how it does."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        info = Info("penstock_build", "What this process is", registry=self.registry)
        info.info({"role": role, "version": release()})
        self._beaten_s = time.monotonic()
        self._waits = "it is starting"
        self._checks: Mapping[str, Check] = {}

    def beat(self) -> None:
        """The loop has come round again, whether it found work, nothing, or had to wait."""
        self._beaten_s = time.monotonic()

    def wait(self, why: str) -> None:
        """The role cannot be played yet."""
        self._waits = why

    @contextmanager
    def playing(self, watched: Watched) -> Iterator[None]:
        """The role is open: it is as ready as its checks say, and its metrics are told."""
        self.registry.register(watched)
        self._checks, self._waits = watched.checks, ""
        try:
            yield
        finally:
            self._checks, self._waits = {}, "it is ending"
            self.registry.unregister(watched)

    def liveness(self) -> tuple[int, dict[str, Any]]:
        """The answer of `/healthz`: its HTTP status and body."""
        still_s = time.monotonic() - self._beaten_s
        if still_s <= LIVE_S:
            return 200, {"status": "live"}
        return 503, {"status": "stalled", "why": f"its loop has not moved for {still_s:.0f} s"}

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """The answer of `/readyz`: its HTTP status and body."""
        return health.readiness({self.role: self._waits} | health.run(self._checks))
