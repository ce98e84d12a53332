"""The one thread that talks to the server.

It waits until 50 ms, 256 KB or 500 events have come together, sends them, and settles each line:
taken, rejected, or to be sent again. While the server is away it waits longer and longer and
moves what comes in to the spool, if there is one.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from . import claims, counts
from .bell import Bell
from .buffer import Buffer, Entry
from .counts import Counts, Sheet, Tally
from .limits import Limits
from .notices import Notices
from .spool import Chunk, Spool
from .standby import Standby
from .stats import Tolls
from .transport import Fate, Reply, Transport

_IDLE_S = 30.0  # how long the thread sleeps with nothing to do, and how often it looks around
_POLL_S = 0.005  # how often `flush` looks whether all is settled
_COUNTS_S = 1.0  # how often a changed count is sent
_SOON_S = 1.0  # the longest wait after a failure while somebody waits for what comes of an event


class Parts(NamedTuple):
    """What the sender moves events between."""

    buffer: Buffer
    counts: Counts
    transport: Transport
    spool: Spool | None
    notices: Notices
    tolls: Tolls


class Sender:
    """Moves events from the buffer to the server; started by the first event of a process."""

    def __init__(
        self,
        parts: Parts,
        limits: Limits,
        *,
        folder: Path,
        scope: str,
        before_start: Callable[[], None],
    ) -> None:
        self._buffer, self._counts, self._transport, self._spool, self._notices, self._tolls = parts
        self._limits = limits
        self._before_start = before_start
        self._folder = folder
        self._scope = scope
        self._standby = Standby(
            "penstock-client",
            self._run,
            self._notices,
            begin=self._begin,
            over=lambda: self._closed,
        )
        self._bell = Bell()
        # What wakes the thread while it rests.
        self._wake_at_first = False  # the first event
        self._wake_at_batch = False  # a whole batch
        self._wake_at_count = False  # a count that changed
        self._urgent = False  # somebody waits in `flush`
        self._closed = False
        self._busy = False
        self._handover = RLock()
        self._in_flight: list[Entry] = []
        self._failures = 0
        self._quiet_until_s = 0.0
        self._soon_s = 0.0  # the same, while somebody waits
        self._waiting: list[None] = []  # one for each; no lock that a thread may die with
        self._counts_due_s = 0.0
        self._look_due_s = 0.0
        self._left_counts = False  # files of processes that are gone may wait

    @property
    def in_flight(self) -> int:
        """Events that are in a request whose answer has not come."""
        return len(self._in_flight)

    def recorded(self, *, ready: bool) -> None:
        """The thread knows that an event was recorded; nearly free if it knew of one already."""
        if not self._standby.alive:
            self._standby.start()
        elif self._wake_at_first or (ready and self._wake_at_batch):
            self._bell.strike()

    def counted(self) -> None:
        """The thread knows that a count changed."""
        if not self._standby.alive:
            self._standby.start()
        elif self._wake_at_count:
            self._bell.strike()

    def flush(self, timeout_s: float, *, once: bool = False) -> bool:
        """Everything recorded so far is settled, within `timeout_s`, or false.

        With `once`, the first request that fails ends it: the process wants to end.
        """
        failures = self._tolls["failures"]
        deadline_s = time.monotonic() + timeout_s
        self._urgent = True
        if not self._is_done():
            self.recorded(ready=True)
            self._bell.strike()
        while not self._is_done():
            if time.monotonic() >= deadline_s or (once and self._tolls["failures"] > failures):
                break
            self.recorded(ready=True)  # a thread that died is replaced
            time.sleep(_POLL_S)  # no lock is shared with a thread that may die
        self._urgent = False
        return self._is_done()

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Meanwhile a server that is away is tried each second: somebody waits for its answer."""
        self._waiting.append(None)
        self._bell.strike()
        try:
            yield
        finally:
            self._waiting.pop()

    def close(self, timeout_s: float) -> None:
        """What can be sent in `timeout_s` is sent; the rest is spooled, or dropped and counted."""
        self.flush(timeout_s, once=True)
        with self._handover:  # from here on the thread settles nothing
            self._closed = True
            left = self._in_flight + self._buffer.drain()
            self._in_flight = []
        self._bell.strike()
        if left and not (self._spool and self._spool.append([entry.line for entry in left])):
            self._drop(left)
        if self._spool:
            self._spool.close()
        self._counts.close(keep=self._busy)  # busy: the last counts may not have arrived
        self._notices.log(now_s=time.monotonic())

    def abandon(self) -> None:
        """In a forked child: there is no thread here, and files and sockets are the parent's."""
        self._transport.abandon()
        self._counts.abandon()
        if self._spool:
            self._spool.abandon()

    @property
    def _again_s(self) -> float:
        """When the server may be asked again, after a failure."""
        return self._soon_s if self._waiting else self._quiet_until_s

    def _is_done(self) -> bool:
        if not self._buffer.empty or self._counts.is_changed or self._busy:
            return False
        return not (self._spool and self._spool.waiting_bytes)

    def _begin(self) -> None:
        self._busy = False
        self._sleep_through()
        self._counts_due_s = time.monotonic() + _COUNTS_S
        self._before_start()

    def _run(self) -> None:
        while not self._closed:
            try:
                self._rest()
                self._busy = True
                self._work()
            except Exception as error:  # the thread outlives whatever it sends
                self._notices.note("sender", f"{type(error).__name__}: {error}")
                time.sleep(self._limits.flush_ms / 1000)
            finally:
                self._busy = False
        self._transport.close()

    def _rest(self) -> None:
        """It is time to work: a batch is ready, or has waited long enough, or a look is due."""
        self._bell.silence()  # before looking: what is struck from now on is heard
        if self._urgent or self._closed:
            return
        now_s = time.monotonic()
        away_s = self._again_s - now_s
        if away_s > 0:
            pause_s = self._limits.flush_ms / 1000 if self._spool else away_s
        elif not self._buffer.empty:
            pause_s = 0.0 if self._buffer.ready else self._limits.flush_ms / 1000
        elif self._counts.is_changed:
            # Not at once even if due: the answer to the request will take the count along.
            pause_s = max(self._counts_due_s - now_s, self._limits.flush_ms / 1000)
        elif self._spool and self._spool.waiting_bytes:
            pause_s = 0.0
        else:
            pause_s = self._look_due_s - now_s
        self._wake_at_batch = away_s <= 0
        self._wake_at_first = away_s <= 0 and self._buffer.empty
        self._wake_at_count = self._wake_at_first and not self._counts.is_changed
        # Looked at again: an event may have come between the look and the flag.
        if pause_s > 0 and not (self._wake_at_first and not self._buffer.empty):
            self._bell.wait(pause_s)
        first = self._wake_at_first and not self._buffer.empty and not self._buffer.ready
        self._wake_at_first = self._wake_at_count = False
        self._bell.silence()
        if first and not self._urgent and not self._closed:
            self._bell.wait(self._limits.flush_ms / 1000)  # the first event waits for company
        self._sleep_through()

    def _sleep_through(self) -> None:
        self._wake_at_first = self._wake_at_batch = self._wake_at_count = False

    def _work(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._look_due_s:
            self._look_due_s = now_s + _IDLE_S
            if self._spool:
                self._spool.look_around()
            self._left_counts = True
        if now_s < self._again_s and not self._urgent:
            self._spill()
        else:
            self._send_batch(now_s)
            if self._spool and time.monotonic() >= self._again_s:
                self._send_spooled(self._spool)
            if self._left_counts and not self._urgent:
                self._adopt_counts()
        if self._counts.fault:
            self._notices.note("counts are kept in memory", self._counts.fault)
            self._counts.fault = None
        self._notices.log(now_s=time.monotonic())

    def _send_batch(self, now_s: float) -> None:
        with self._handover:
            if self._closed:
                return
            if self._in_flight:  # settling it was interrupted by a fault of our own
                self._buffer.restore(self._in_flight)
            batch = self._in_flight = self._buffer.take()
        changed: list[tuple[Sheet, set[Tally]]] = []
        if self._urgent or now_s >= self._counts_due_s:
            self._counts_due_s = now_s + _COUNTS_S
            changed = self._counts.changed()
        now_ms = time.time_ns() // 1_000_000
        events = [tally.event(now_ms=now_ms) for _, tallies in changed for tally in tallies]
        lines = [entry.line for entry in batch]
        reply = self._post(lines, [event for event in events if event])
        if reply is None:
            return
        with self._handover:
            if self._closed:  # `close` has already taken the batch over
                return
            self._in_flight = []
            self._settle(reply, batch)
        if reply.fate in {Fate.LATER, Fate.DENIED}:
            for sheet, tallies in changed:
                sheet.unsent(tallies)

    def _post(self, lines: list[bytes], counted: list[bytes]) -> Reply | None:
        """The answer to all of it; counts beyond a request's bound go in requests of their own."""
        reply = None
        size = self._limits.batch_events
        if lines:
            reply = self._request(lines + counted[:size])
            counted = counted[size:]
        while counted and (reply is None or reply.fate is Fate.SETTLED):
            counts_reply = self._request(counted[:size])
            reply = reply or counts_reply
            counted = counted[size:]
        return reply

    def _request(self, lines: list[bytes]) -> Reply:
        reply = self._transport.post(lines)
        self._tolls.add("requests")
        self._tolls.add("accepted", reply.accepted)
        self._tolls.add("duplicate", reply.duplicate)
        if reply.fate is Fate.REFUSED:
            self._tolls.add("rejected", len(lines))
        self._look_at(reply)
        return reply

    def _look_at(self, reply: Reply) -> None:
        """The next request is due when the server can take it; people know what went wrong."""
        if reply.fate in {Fate.SETTLED, Fate.REFUSED}:
            self._failures = 0
            self._quiet_until_s = self._soon_s = 0.0
            if reply.fate is Fate.REFUSED:
                self._notices.note(f"request refused with {reply.code}", "its events are lost")
            return
        self._urgent = False  # one try; from here on the waits are kept
        self._failures += 1
        self._tolls.add("failures")
        limits = self._limits
        if reply.wait_s is not None:
            wait_s = soon_s = max(reply.wait_s, limits.backoff_min_s)
        elif reply.fate is Fate.DENIED:
            wait_s = soon_s = limits.backoff_max_s
        else:
            grown_s = limits.backoff_min_s * 2 ** min(self._failures - 1, 16)
            wait_s = min(grown_s, limits.backoff_max_s)
            soon_s = min(wait_s, _SOON_S)
        self._leave_alone(wait_s, soon_s)
        self._notices.note(f"server: {reply.code}", reply.fate.value)

    def _leave_alone(self, wait_s: float, soon_s: float) -> None:
        jitter = 1 + os.urandom(1)[0] / 510  # up to half as long again: services spread out
        now_s = time.monotonic()
        self._quiet_until_s, self._soon_s = now_s + wait_s * jitter, now_s + soon_s * jitter

    def _settle(self, reply: Reply, batch: list[Entry]) -> None:
        if reply.fate is Fate.REFUSED:
            for entry in batch:
                if entry.tally:
                    entry.tally.drop()
        elif reply.fate is Fate.SETTLED:
            again = []
            for line in reply.rejected:
                if line.retryable and 0 <= line.index < len(batch):
                    again.append(batch[line.index])
                    continue
                self._tolls.add("rejected")
                self._notices.note(f"event rejected: {line.code}", line.detail)
                if 0 <= line.index < len(batch) and (tally := batch[line.index].tally):
                    tally.drop()
            if again:
                wait_s = self._limits.backoff_min_s
                self._leave_alone(wait_s, min(wait_s, _SOON_S))
                self._buffer.restore(again)
        elif not (self._spool and batch and self._spool.append([e.line for e in batch])):
            self._buffer.restore(batch)

    def _spill(self) -> None:
        """While the server is away, what comes in is on disk, as far as there is room."""
        while self._spool and not self._buffer.empty and not self._closed:
            with self._handover:
                batch = self._buffer.take()
                if batch and not self._spool.append([entry.line for entry in batch]):
                    self._buffer.restore(batch)
                    return

    def _send_spooled(self, spool: Spool) -> None:
        """One chunk of the spool is settled; events that are fresh take turns with it."""
        chunk: Chunk | None = spool.first()
        if chunk is None:
            return
        reply = self._request(chunk.lines)
        if reply.fate in {Fate.SETTLED, Fate.REFUSED}:
            for line in reply.rejected:
                self._tolls.add("rejected")
                self._notices.note(f"event rejected: {line.code}", line.detail)
            spool.done(chunk)

    def _adopt_counts(self) -> None:
        """The counts of processes that are gone have been sent, and their files are gone too."""
        for path in sorted(self._folder.glob(f"{self._scope}-*{counts.SUFFIX}")):
            if self._closed or time.monotonic() < self._quiet_until_s:
                return
            descriptor = claims.adopt(path)
            if descriptor is None:
                continue
            with open(descriptor, "rb") as file:
                lines = list(counts.left_behind(file.read(), now_ms=time.time_ns() // 1_000_000))
                reply = self._post([], lines)
                if reply is None or reply.fate in {Fate.SETTLED, Fate.REFUSED}:
                    path.unlink(missing_ok=True)
        self._left_counts = False

    def _drop(self, entries: list[Entry]) -> None:
        self._tolls.add("dropped at exit", len(entries))
        self._notices.note("events dropped at exit", "the server could not take them in time")
        for entry in entries:
            if entry.tally:
                entry.tally.drop()
