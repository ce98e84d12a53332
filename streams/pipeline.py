"""The one pass: log in, facts and counters out, positions and results in one transaction.

    poll -> gather -> placed -> folded -> one transaction: positions, rows, counters, freezing

The loop owns partitions and steps through them; what a batch comes to is `streams.batch`.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from streams import counters, positions
from streams.arrivals import Arrivals, gather, watermarks_after
from streams.batch import Batches, Counted
from streams.collector import Collector
from streams.db.clock import Clock
from streams.db.engine import writing
from streams.errors import ConfigError, ConflictError, Error, UnavailableError
from streams.events import Fault
from streams.garbage import collected_between
from streams.holding import Holding
from streams.logs.base import Log
from streams.taken import Taken
from streams.topics import EVENTS

LATENESS_MS = 120_000
IDLE_MS = 30_000  # a partition with nothing unread for this long follows the log's clock
IDLE_EVERY_MS = 1_000
HOLD_S = {"sqlite": 0.015, "postgresql": 0.100}  # what one transaction aims to take
PAUSE_S = 0.002  # after each on SQLite, so that a second writer gets in
MIN_BYTES, MAX_BYTES = 128_000, 4_000_000  # of one poll
MAX_CULPRITS = 20  # events of one batch that may break the fold before the worker stops
TRIES = 5

_log = logging.getLogger(__name__)


class Pipeline:
    """Intake: counts every event of the partitions it is assigned exactly once."""

    def __init__(
        self,
        log: Log,
        engine: Engine,
        *,
        collectors: Sequence[Collector],
        owner: str,
        clock: Clock,
        topic: str = EVENTS.name,
        consumer: str = "intake",
        lateness_ms: int = LATENESS_MS,
    ) -> None:
        self._log = log
        self._engine = engine
        self._clock = clock
        self._lateness_ms = lateness_ms
        self.taken = Taken()
        self._held = Holding(log, engine, topic=topic, consumer=consumer, owner=owner, clock=clock)
        self._batches = Batches(
            engine,
            topic=self._held.topic,
            collectors=collectors,
            clock=clock,
            lateness_ms=lateness_ms,
        )
        self._busy_ms: dict[int, int] = {}  # when each partition last had something unread
        self._bytes = MIN_BYTES
        self._hold_s = HOLD_S[engine.dialect.name]
        self._pause_s = PAUSE_S if engine.dialect.name == "sqlite" else 0.0

    @property
    def holding(self) -> Holding:
        """The partitions that are ours, for whoever watches."""
        return self._held

    def run(self, stop: threading.Event, *, tick: Callable[[], None] = lambda: None) -> None:
        """Counts until `stop`; a store or log that is away is waited for.

        `tick` is called in every round: who calls it lives.
        """
        try:
            with collected_between() as collect_cycles:
                while not stop.is_set():
                    tick()
                    try:
                        if self.step(timeout_s=0.2) and self._pause_s:
                            stop.wait(self._pause_s)
                        self.taken.waiting = ""
                        collect_cycles()
                    except ConflictError as raced:
                        _log.info("claiming again: %s", raced)
                        self._begin_again()
                    except UnavailableError as error:
                        _log.warning("waits: %s", error, extra={"why": error.why})
                        self.taken.waits += 1
                        self.taken.waiting = error.message
                        self._begin_again()
                        stop.wait(1.0)
        finally:
            self.close()

    def step(self, *, timeout_s: float = 0.0) -> int:
        """Takes what is there, up to one transaction's worth; returns how many records."""
        records = self._held.poll(max_bytes=self._bytes, timeout_s=timeout_s)
        if records:
            started = time.perf_counter()
            self._take(gather(records))
            self.taken.batch_s.add(time.perf_counter() - started)
        self._advance_idle({record.partition for record in records})
        return len(records)

    def drain(self) -> None:
        """Counts until nothing is unread."""
        while self.step():
            pass

    def close(self) -> None:
        self._held.close()

    # --- one batch

    def _take(self, arrivals: Arrivals) -> None:
        arrivals = self._batches.placed(arrivals)
        for _ in range(TRIES):
            try:
                self._commit(arrivals, self._folded(arrivals))
                return
            except positions.LostError as lost:
                self._held.lose(lost.partitions)
                arrivals = arrivals.of_partitions(frozenset(arrivals.ends) - lost.partitions)
                self._batches.forget()
                if not arrivals.ends:
                    return
                arrivals = self._batches.placed(arrivals)
            except ConflictError as raced:
                _log.info("folding again: %s", raced)
                self.taken.folds_again += 1
            except Error:
                raise
            except Exception:
                _log.exception("the fold failed; looking for the event")
                arrivals = self._without_culprits(arrivals)
        self._begin_again()

    def _begin_again(self) -> None:
        """Whatever we believe of the store is read anew: positions, numbers, plans."""
        self._held.lose_all()
        self._batches.forget()

    def _folded(self, arrivals: Arrivals) -> Counted:
        watermarks = {p: self._held.positions[p].watermark_ms for p in arrivals.ends}
        return self._batches.folded(arrivals, watermarks)

    def _commit(self, arrivals: Arrivals, counted: Counted) -> None:
        """Positions and results are stored together, or neither."""
        held = {p: self._held.positions[p] for p in sorted(arrivals.ends)}
        before = {p: position.watermark_ms for p, position in held.items()}
        after = watermarks_after(arrivals, before, lateness_ms=self._lateness_ms)
        events = Counter(arrivals.partition.tolist())
        rejected = Counter(letter.partition for letter in counted.letters)
        moved = [
            positions.Moved(
                p, at.fence, at.next, arrivals.ends[p][1], after[p], events[p], rejected[p]
            )
            for p, at in held.items()
        ]
        with writing(self._engine) as connection:
            started = time.perf_counter()
            self._held.advance(connection, moved)
            self._batches.save(connection, counted)
            counters.freeze(connection, after)
        self._adapt(time.perf_counter() - started)
        self._held.stand(moved)
        self.taken.add(arrivals, counted, now_ms=self._log.now_ms())

    def _adapt(self, held_s: float) -> None:
        """Takes more at a time when the last transaction was short, less when it was long."""
        factor = min(1.25, max(0.8, self._hold_s / max(held_s, 1e-4)))
        self._bytes = int(min(MAX_BYTES, max(MIN_BYTES, self._bytes * factor)))

    # --- when an event breaks the fold

    def _without_culprits(self, arrivals: Arrivals) -> Arrivals:
        """The arrivals without the events that make the fold fail; these are dead letters."""
        for _ in range(MAX_CULPRITS):
            reason = self._failure(arrivals)
            if reason is None:
                return arrivals
            culprit, reason = self._culprit(arrivals, reason)
            arrivals = arrivals.without({culprit: Fault("processing_error", "", reason)})
        raise ConfigError(
            f"{MAX_CULPRITS} events of one batch break the fold",
            why="this is a bug of ours, not of the events",
            fix="stop the worker and report the traceback above; nothing is lost",
        )

    def _culprit(self, arrivals: Arrivals, reason: str) -> tuple[int, str]:
        """The last event of the shortest prefix that fails, found by halving, and why it fails."""
        low, high = 0, len(arrivals)
        while high - low > 1:
            middle = (low + high) // 2
            failure = self._failure(arrivals.slice(0, middle))
            if failure is None:
                low = middle
            else:
                high, reason = middle, failure
        return low, reason

    def _failure(self, arrivals: Arrivals) -> str | None:
        """Why these arrivals cannot be folded and saved; None if they can. Keeps nothing."""
        try:
            counted = self._folded(arrivals)
            with writing(self._engine) as connection:
                self._batches.save(connection, counted)
                connection.rollback()
        except Error:
            raise
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    # --- time

    def _advance_idle(self, busy: set[int]) -> None:
        """Partitions with nothing unread for a while follow the log's clock."""
        now_ms = self._clock.wall_ms()
        for partition in busy:
            self._busy_ms[partition] = now_ms
        held = self._held.positions
        waited = [p for p in held if now_ms - self._busy_ms.setdefault(p, now_ms) >= IDLE_MS]
        if not waited:
            return
        bounds = self._log.bounds(self._held.topic.name)
        reached = self._log.now_ms() - self._lateness_ms
        moved = []
        for partition in waited:
            at = held[partition]
            self._busy_ms[partition] = now_ms - IDLE_MS + IDLE_EVERY_MS
            if bounds[partition].end == at.next and reached > at.watermark_ms:
                moved.append(positions.Moved(partition, at.fence, at.next, at.next, reached))
        if moved:
            self._store_idle(moved)

    def _store_idle(self, moved: list[positions.Moved]) -> None:
        try:
            with writing(self._engine) as connection:
                self._held.advance(connection, moved)
                counters.freeze(connection, {s.partition: s.watermark_ms for s in moved})
        except positions.LostError as lost:
            self._held.lose(lost.partitions)
            return
        self._held.stand(moved)
