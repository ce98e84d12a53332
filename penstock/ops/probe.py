"""Looking at something that may be away, without waiting for it for long."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric

from streams.errors import Error, UnavailableError

T = TypeVar("T")
PATIENCE_S = 2.0
FRESH_S = 1.0


class Probe(Generic[T]):
    """What `look` finds, at most once a second however many ask, and one look at a time.

    A look has a thread of its own: one that hangs keeps nobody waiting longer than `PATIENCE_S`,
    and is waited for again by whoever asks next.
    """

    def __init__(self, what: str, look: Callable[[], T]) -> None:
        self._what = what
        self._look = look
        self._lock = threading.Lock()
        self._found: Future[T] | None = None
        self._asked_s = 0.0
        self._ended_s = 0.0

    def ask(self) -> T:
        """What was found. Raises what the look raised, and UnavailableError when it takes long."""
        with self._lock:
            found = self._found
            if found is None or (found.done() and time.monotonic() - self._ended_s > FRESH_S):
                self._found = found = Future()
                self._asked_s = time.monotonic()
                threading.Thread(target=self._run, args=(found,), name="probe", daemon=True).start()
        try:
            return found.result(PATIENCE_S)
        except TimeoutError as error:
            waited_s = time.monotonic() - self._asked_s
            raise UnavailableError(
                f"{self._what} has not answered for {waited_s:.0f} s",
                fix="see whether it is overloaded or cut off",
            ) from error

    def found(self) -> T | None:
        """The same, or None where `ask` raises an error of ours."""
        try:
            return self.ask()
        except Error:
            return None

    def fault(self) -> str:
        """Nothing when it answers: a check of readiness. Raises as `ask`."""
        self.ask()
        return ""

    def _run(self, found: "Future[T]") -> None:
        try:
            result = self._look()
        except Exception as error:  # raised again where the answer is asked for
            self._ended_s = time.monotonic()
            found.set_exception(error)
        else:
            self._ended_s = time.monotonic()
            found.set_result(result)


def up(*, log: Probe[Any], database: Probe[Any]) -> Iterator[Metric]:
    """Whether log and database answer this process."""
    for name, text, probe in (
        ("penstock_log_up", "Whether the log answers this process", log),
        ("penstock_database_up", "Whether the database answers this process", database),
    ):
        yield GaugeMetricFamily(name, text, value=float(probe.found() is not None))
