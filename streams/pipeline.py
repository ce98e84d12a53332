"""The one pass: log in, facts and counters out, positions and results in one transaction.

    poll -> gather -> placed -> keyed -> folded -> committed: positions, rows, counters, freezing

The loop owns partitions and steps through them; what a batch comes to is `streams.batch`. Where
the database is another process, the next batch is read and keyed while one is being committed; it
is folded only when that is done, because it may be about what was just written.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

import msgspec
from sqlalchemy import Engine

from streams import counters, positions
from streams.arrivals import Arrivals, gather, watermarks_after
from streams.batch import Batch, Batches, Counted
from streams.collector import Collector
from streams.culprits import without_culprits
from streams.db.clock import Clock
from streams.db.engine import writing
from streams.errors import ConflictError, Error, UnavailableError
from streams.garbage import collected_between
from streams.holding import Holding
from streams.logs.base import GapError, Log, Record
from streams.taken import Taken
from streams.topics import EVENTS
from streams.turns import short_turns

LATENESS_MS = 120_000
IDLE_MS = 30_000  # a partition with nothing unread for this long follows the log's clock
IDLE_EVERY_MS = 1_000
HOLD_S = {"sqlite": 0.015, "postgresql": 0.100}  # what one transaction aims to take
PAUSE_S = 0.002  # after each on SQLite, so that a second writer gets in
MIN_BYTES, MAX_BYTES = 128_000, 4_000_000  # of one poll
TRIES = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 1.0  # for a store or log that is away; each twice the last

_log = logging.getLogger(__name__)


class Commit(msgspec.Struct):
    """A batch on its way into the store."""

    arrivals: Arrivals
    counted: Counted
    moved: list[positions.Moved]
    done: Future[float]  # seconds that the transaction took


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
        # SQLite's statements need this process's own interpreter: a thread would only wait for it.
        self._committer = (
            None if engine.dialect.name == "sqlite" else ThreadPoolExecutor(1, "commit")
        )
        self._flying: Commit | None = None

    @property
    def holding(self) -> Holding:
        """The partitions that are ours, for whoever watches."""
        return self._held

    def run(self, stop: threading.Event, *, tick: Callable[[], None] = lambda: None) -> None:
        """Counts until `stop`; a store or log that is away is waited for.

        `tick` is called in every round: who calls it lives.
        """
        wait_s, batches = FIRST_WAIT_S, 0
        try:
            turns = nullcontext() if self._committer is None else short_turns()
            with turns, collected_between() as collect_cycles:
                while not stop.is_set():
                    tick()
                    try:
                        if self.step(timeout_s=0.2, settle=False) and self._pause_s:
                            stop.wait(self._pause_s)
                        self.taken.waiting = ""
                        if self.taken.batches > batches:
                            wait_s, batches = FIRST_WAIT_S, self.taken.batches
                        collect_cycles()
                    except ConflictError as raced:
                        _log.info("claiming again: %s", raced)
                        self._begin_again()
                    except UnavailableError as error:
                        _log.warning("waits: %s", error, extra={"why": error.why})
                        self.taken.waits += 1
                        self.taken.waiting = error.message
                        self._begin_again()
                        stop.wait(wait_s)
                        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        finally:
            self.close()

    def step(self, *, timeout_s: float = 0.0, settle: bool = True) -> int:
        """Takes what is there, up to one transaction's worth; returns how many records.

        Without `settle` they may still be on their way into the store when this returns.
        """
        try:
            if self._held.changed():
                self._settle()
                self._held.claim()
            records = self._poll(0.0 if self._flying else timeout_s)
            if not records and self._flying:
                self._settle()
                records = self._poll(timeout_s)
            if records:
                started = time.perf_counter()
                self._take(self._batches.placed(gather(records)))
                self.taken.batch_s.add(time.perf_counter() - started)
            if settle:
                self._settle()
        except BaseException:
            self._held.read_again()
            raise
        self._advance_idle({record.partition for record in records})
        return len(records)

    def drain(self) -> None:
        """Counts until nothing is unread."""
        while self.step(settle=False) or self._held.changed():
            pass

    def close(self) -> None:
        """A commit that is under way is waited for; whether it went through stands in the store."""
        if self._committer is not None:
            self._committer.shutdown()
        self._held.close()

    def _poll(self, timeout_s: float) -> list[Record]:
        try:
            return self._held.poll(max_bytes=self._bytes, timeout_s=timeout_s)
        except GapError as gap:
            self._settle()
            self._held.jump(gap)
            return []

    # --- one batch

    def _take(self, arrivals: Arrivals) -> None:
        """These arrivals are on their way into the store, and those before them are in it."""
        try:
            batch = self._batches.keyed(arrivals)
        except Exception:
            batch = None  # it fails again below, when nothing else is under way
        self._settle()
        left = self._continuing(arrivals)
        if left is not arrivals:
            arrivals, batch = self._batches.placed(left), None
        self._launch(arrivals, batch)
        if self._committer is None:
            self._settle()

    def _launch(self, arrivals: Arrivals, batch: Batch | None = None) -> None:
        """The commit of these arrivals is under way, or of what is left of them."""
        for _ in range(TRIES):
            if not arrivals.ends:
                return
            try:
                self._flying = self._committing(batch or self._batches.keyed(arrivals))
                return
            except Exception as error:
                arrivals, batch = self._mended(arrivals, error), None
        self._begin_again()

    def _settle(self) -> None:
        """What was under way is in the store, except for what is not ours or breaks the fold."""
        for _ in range(TRIES):
            flying, self._flying = self._flying, None
            if flying is None:
                return
            try:
                self._stand(flying)
            except Exception as error:
                self._launch(self._mended(flying.arrivals, error))
        self._begin_again()

    def _mended(self, arrivals: Arrivals, error: Exception) -> Arrivals:
        """Without what made them fail; raises what only waiting or a person can mend."""
        match error:
            case positions.LostError():
                self._held.lose(error.partitions)
                self._batches.forget()
                return self._batches.placed(self._continuing(arrivals))
            case ConflictError():
                _log.info("folding again: %s", error)
                self.taken.folds_again += 1
                return arrivals
            case Error():
                raise error
            case _:
                _log.error("the fold failed; looking for the event", exc_info=error)
                return without_culprits(arrivals, self._failure)

    def _continuing(self, arrivals: Arrivals) -> Arrivals:
        """Those that go on where we stand: a partition that was lost meanwhile is read again."""
        held, ends = self._held.positions, arrivals.ends
        kept = frozenset(p for p, (first, _) in ends.items() if p in held and held[p].next == first)
        return arrivals if len(kept) == len(ends) else arrivals.of_partitions(kept)

    def _begin_again(self) -> None:
        """Whatever we believe of the store is read anew: positions, numbers, plans."""
        flying, self._flying = self._flying, None
        if flying is not None and flying.done.exception() is None:
            self._add(flying)  # it went through; the store says so too when it is claimed again
        self._held.lose_all()
        self._batches.forget()

    def _folded(self, batch: Batch) -> Counted:
        watermarks = {p: self._held.positions[p].watermark_ms for p in batch.arrivals.ends}
        return self._batches.folded(batch, watermarks)

    def _committing(self, batch: Batch) -> Commit:
        """The transaction has begun, in the committer's thread where there is one."""
        arrivals, counted = batch.arrivals, self._folded(batch)
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
        if self._committer is not None:
            done = self._committer.submit(self._commit, counted, moved)
        else:
            done = Future()
            done.set_result(self._commit(counted, moved))
        return Commit(arrivals, counted, moved, done)

    def _commit(self, counted: Counted, moved: list[positions.Moved]) -> float:
        """Positions and results are stored together, or neither."""
        with writing(self._engine) as connection:
            started = time.perf_counter()
            self._held.advance(connection, moved)
            self._batches.save(connection, counted)
            counters.freeze(connection, {step.partition: step.watermark_ms for step in moved})
        return time.perf_counter() - started

    def _stand(self, commit: Commit) -> None:
        """The commit has gone through, or raises why not."""
        self._adapt(commit.done.result())
        self._held.stand(commit.moved)
        self._add(commit)

    def _add(self, commit: Commit) -> None:
        self.taken.add(commit.arrivals, commit.counted, now_ms=self._log.now_ms())

    def _adapt(self, held_s: float) -> None:
        """Takes more at a time when the last transaction was short, less when it was long."""
        factor = min(1.25, max(0.8, self._hold_s / max(held_s, 1e-4)))
        self._bytes = int(min(MAX_BYTES, max(MIN_BYTES, self._bytes * factor)))

    def _failure(self, arrivals: Arrivals) -> str | None:
        """Why these arrivals cannot be folded and saved; None if they can. Keeps nothing."""
        try:
            counted = self._folded(self._batches.keyed(arrivals))
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
