"""The one pass: log in, facts and counters out, positions and results in one transaction.

    poll -> gather -> codes (own transaction) -> rows
         -> one transaction: positions, probe, fold, insert, collectors, freezing, outbox

The only place where reading, folding and saving meet. Everything before the transaction is
computed without holding the store; the batch size follows how long the transaction took.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, insert

from streams import (
    answers,
    counters,
    deadletters,
    intake,
    ledger,
    outbox,
    plans,
    positions,
    reports,
    truths,
)
from streams.arrivals import Arrivals, DeadLetter, gather, watermarks_after, watermarks_before
from streams.codes import Codes
from streams.collector import Collector
from streams.db.clock import Clock
from streams.db.engine import reading, writing
from streams.envelopes import pack
from streams.errors import ConfigError, ConflictError, Error, UnavailableError
from streams.events import Fault, Prediction
from streams.facts import Facts, Naming
from streams.installation import secret
from streams.logs.base import GapError, Log, Record
from streams.messages import DeadLettered, encode
from streams.models import DAY_MS, MINUTE_MS
from streams.tables import report
from streams.topics import DEAD_LETTERS, EVENTS

LATENESS_MS = 120_000
IDLE_MS = 30_000  # a partition with nothing unread for this long is advanced by the log's clock
RETENTION_MS = 90 * DAY_MS
RETENTION_MARGIN_MS = 7 * DAY_MS
PLANS_READ_S = 1.0
HOLD_S = {"sqlite": 0.018, "postgresql": 0.100}  # what one transaction aims to take
PAUSE_S = 0.002  # after each on SQLite, so that a second writer gets in
MIN_BYTES, MAX_BYTES = 64_000, 4_000_000
MAX_CULPRITS = 20  # events of one batch that may break the fold before the worker stops
TRIES = 5

_log = logging.getLogger(__name__)


class Taken(msgspec.Struct):
    """What this worker has counted since it started."""

    events: int = 0
    answers: int = 0
    labels: int = 0
    rejected: int = 0
    batches: int = 0


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
        self._collectors = collectors
        self._owner = owner
        self._clock = clock
        self._topic = log.state(topic)
        self._consumer = consumer
        self._lateness_ms = lateness_ms
        self._codes = Codes(engine)
        self._plans = plans.Plans()
        self._collector_plans: dict[str, Any] = {}
        self._plans_read_s = 0.0
        with reading(engine) as connection:
            self._units = answers.Units(secret(connection))
        self._read_plans()
        self._reader = log.reader(topic, group=consumer)
        self._positions: dict[int, positions.Position] = {}
        self._busy_ms: dict[int, int] = {}  # when each partition last had something unread
        self._bytes = MIN_BYTES * 4
        self._hold_s = HOLD_S[engine.dialect.name]
        self._pauses = engine.dialect.name == "sqlite"
        self.taken = Taken()

    # --- the loop

    def run(self, stop: threading.Event) -> None:
        """Counts until `stop`; a store or log that is away is waited for."""
        try:
            while not stop.is_set():
                try:
                    if self.step(timeout_s=0.2) and self._pauses:
                        stop.wait(PAUSE_S)
                except UnavailableError as error:
                    _log.warning("intake waits: %s", error)
                    self._positions.clear()
                    stop.wait(1.0)
        finally:
            self.close()

    def step(self, *, timeout_s: float = 0.0) -> int:
        """Takes what is there, up to one transaction's worth; returns how many records."""
        self._claim()
        try:
            records = self._reader.poll(max_bytes=self._bytes, timeout_s=timeout_s)
        except GapError as gap:
            self._jump(gap)
            return 0
        records = self._contiguous(records)
        if records:
            self._take(gather(records))
        self._advance_idle({record.partition for record in records})
        return len(records)

    def drain(self) -> None:
        """Counts until nothing is unread."""
        while self.step():
            pass

    def close(self) -> None:
        self._reader.close()

    # --- ownership

    def _claim(self) -> None:
        assigned = self._reader.assigned()
        self._positions = {p: at for p, at in self._positions.items() if p in assigned}
        fresh = assigned - self._positions.keys()
        if not fresh:
            return
        with writing(self._engine) as connection:
            claimed = positions.claim(
                connection, consumer=self._consumer, topic=self._topic, partitions=fresh,
                owner=self._owner, now_ms=self._clock.wall_ms(),
            )  # fmt: skip
        bounds = self._log.bounds(self._topic.name)
        for partition, position in claimed.items():
            if position.next > bounds[partition].end:
                raise ConfigError(
                    f"{self._topic.name}/{partition} ends at {bounds[partition].end}, but"
                    f" {position.next} records of it are counted",
                    why="the log is older than the database",
                    fix="restore the log and the database from the same backup",
                )
            self._reader.seek(partition, position.next)
            self._busy_ms[partition] = self._clock.wall_ms()
        self._positions.update(claimed)

    def _jump(self, gap: GapError) -> None:
        _log.error("%s", gap)
        with writing(self._engine) as connection:
            self._positions[gap.partition] = positions.jump(
                connection, consumer=self._consumer, topic=self._topic.name,
                position=self._positions[gap.partition], to=gap.begin,
                now_ms=self._clock.wall_ms(),
            )  # fmt: skip
        self._reader.seek(gap.partition, gap.begin)

    def _contiguous(self, records: list[Record]) -> list[Record]:
        """The records that continue where we stand; a reader that skipped one is sought back."""
        due = {partition: position.next for partition, position in self._positions.items()}
        kept = []
        astray: set[int] = set()
        for record in records:
            expected = due.get(record.partition)
            if expected is None or record.partition in astray or record.offset < expected:
                continue
            if record.offset > expected:
                astray.add(record.partition)
                self._reader.seek(record.partition, expected)
                continue
            due[record.partition] = expected + 1
            kept.append(record)
        return kept

    # --- one batch

    def _take(self, arrivals: Arrivals) -> None:
        arrivals = self._placed(arrivals)
        for _ in range(TRIES):
            try:
                self._commit(arrivals)
                return
            except positions.LostError as lost:
                self._positions = {
                    p: at for p, at in self._positions.items() if p not in lost.partitions
                }
                kept = frozenset(arrivals.ends) - lost.partitions
                arrivals = arrivals.of_partitions(kept)
                if not kept:
                    return
            except ConflictError as raced:
                # Another worker wrote a row of ours since the probe: probing again finds it.
                _log.info("again: %s", raced)
            except Error:
                raise
            except Exception:
                _log.exception("the fold failed; looking for the event")
                arrivals = self._without_culprits(arrivals)
        self._positions.clear()  # claim and seek again

    def _placed(self, arrivals: Arrivals) -> Arrivals:
        """Every name has its number; what has no place any more is a dead letter."""
        self._renew_plans(arrivals)
        self._codes.ensure({("model", 0, m) for m in {e.model for e in arrivals.events}})
        known = self._codes.of("model")
        faults = {
            k: Fault("too_many_models", "model", "1,000 models are observed already")
            for k, event in enumerate(arrivals.events)
            if event.model not in known
        }
        arrivals = arrivals.without(faults | self._too_late(arrivals))
        at = answers.predictions(arrivals)
        predictions: list[Prediction] = [arrivals.events[k] for k in at]  # type: ignore[misc]
        wanted = answers.wanted_codes(predictions, known, self._plans)
        if len(at) < len(arrivals):
            wanted |= truths.wanted_codes(arrivals.events, known)
            wanted |= reports.wanted_codes(arrivals.events)
        self._codes.ensure(wanted)
        return arrivals.without(answers.unplaceable(arrivals, at, known, self._codes))

    def _too_late(self, arrivals: Arrivals) -> dict[int, Fault]:
        """Events from before the ledger's retention, by the log's clock."""
        ages = arrivals.appended_ms - arrivals.event_ms
        return {
            k: Fault("too_late", "time", f"{int(ages[k]) // DAY_MS} days old, past retention")
            for k in (ages > RETENTION_MS).nonzero()[0].tolist()
            if ages[k] > self._retention_ms(arrivals.events[k].model)
        }

    def _retention_ms(self, model: str) -> int:
        longest = self._plans.model(model).newest.longest_horizon_ms()
        return max(RETENTION_MS, longest + RETENTION_MARGIN_MS)

    def _commit(self, arrivals: Arrivals) -> None:
        keyed, labels = self._rows(arrivals)
        stored_wm = {p: self._positions[p].watermark_ms for p in arrivals.ends}
        after = watermarks_after(arrivals, stored_wm, lateness_ms=self._lateness_ms)
        moved = [
            positions.Moved(
                p, self._positions[p].fence, self._positions[p].next, end, after[p]
            )
            for p, (_, end) in sorted(arrivals.ends.items())
        ]  # fmt: skip
        started = time.perf_counter()
        with writing(self._engine) as connection:
            started = time.perf_counter()
            positions.advance(
                connection, consumer=self._consumer, topic=self._topic.name, moved=moved,
                now_ms=self._clock.wall_ms(),
            )  # fmt: skip
            letters = self._save(connection, arrivals, keyed, labels, stored_wm)
            counters.freeze(connection, after)
        self._adapt(time.perf_counter() - started)
        for step in moved:
            position = self._positions[step.partition]
            position.next, position.watermark_ms = step.new, step.watermark_ms
        self.taken.events += len(arrivals)
        self.taken.answers += len(keyed.at)
        self.taken.labels += len(labels)
        self.taken.rejected += letters
        self.taken.batches += 1

    def _rows(self, arrivals: Arrivals) -> tuple[answers.Keyed, list[truths.Said]]:
        at = answers.predictions(arrivals)
        keyed = answers.rows_of(
            arrivals, at, plans=self._plans, codes=self._codes, units=self._units
        )
        labels = truths.said(arrivals, codes=self._codes) if len(at) < len(arrivals) else []
        return keyed, labels

    def _save(
        self,
        connection: Connection,
        arrivals: Arrivals,
        keyed: answers.Keyed,
        labels: list[truths.Said],
        stored_wm: dict[int, int],
    ) -> int:
        """Everything this batch comes to is in the transaction; returns its dead letters."""
        folded = self._fold(connection, arrivals, keyed, labels, stored_wm)
        ledger.save(connection, folded.added)
        letters = arrivals.dead + folded.dead
        deadletters.save(connection, self._topic.name, letters)
        facts = folded.facts
        facts.rejected = [(d.code, d.partition, d.at_ms) for d in letters]
        for collector in self._collectors:
            deltas = collector.collect(facts, self._collector_plans[collector.name])
            collector.save(connection, deltas)
        messages = [self._forwarded(arrivals, forward) for forward in folded.forwards]
        messages += self._announced(letters)
        outbox.put(connection, messages, now_ms=self._clock.wall_ms())
        return len(letters)

    def _fold(
        self,
        connection: Connection,
        arrivals: Arrivals,
        keyed: answers.Keyed,
        labels: list[truths.Said],
        stored_wm: dict[int, int],
    ) -> intake.Folded:
        watermarks = watermarks_before(arrivals, stored_wm, lateness_ms=self._lateness_ms)
        keys, groups, named = intake.needed(keyed, labels)
        stored = ledger.probe(connection, keys, groups, named)
        folded = intake.fold(
            arrivals, keyed, labels, stored, watermarks,
            codes=self._codes, naming=self._naming(arrivals),
            confirmed=ledger.confirmed(connection, stored.answers),
            seen_ms=self._clock.wall_ms(),
        )  # fmt: skip
        if len(keyed.at) + len(labels) < len(arrivals):
            self._fold_counts(connection, arrivals, watermarks, folded.facts)
        return folded

    def _fold_counts(
        self, connection: Connection, arrivals: Arrivals, watermarks: Any, facts: Facts
    ) -> None:
        """Feedback by unit and assigned counts: neither is about a request."""
        arrived = reports.reports_among(arrivals, codes=self._codes, units=self._units)
        ids: dict[int, list[bytes]] = {}
        for _, row in arrived:
            ids.setdefault(row.model_no, []).append(row.feedback_id8)
            if row.supersedes8 is not None:
                ids[row.model_no].append(row.supersedes8)
        known = {no: ledger.reports(connection, no, wanted) for no, wanted in ids.items()}
        added, facts.reported, noted = reports.fold_reports(arrivals, arrived, known, watermarks)
        if added:
            connection.execute(insert(report), [row._asdict() for row in added])
        counted = reports.assigned_among(arrivals, codes=self._codes)
        stored = ledger.assigned_counts(connection, {key for _, key, _ in counted})
        counts, facts.assigned = reports.fold_assigned(counted, stored)
        ledger.save_assigned(connection, counts)
        facts.noted += noted

    def _naming(self, arrivals: Arrivals) -> Naming:
        numbers = self._codes.of("model")
        models = {event.model for event in arrivals.events}
        return Naming(
            {numbers[name]: self._plans.model(name) for name in models},
            {no: name for name, no in self._codes.of("source").items()},
            {numbers[name]: self._codes.of("label", numbers[name]) for name in models},
        )

    def _forwarded(self, arrivals: Arrivals, forward: intake.Forward) -> outbox.Message:
        k = forward.at
        place = f"{arrivals.partition[k]}/{arrivals.offset[k]}/{arrivals.index[k]}"
        return outbox.Message(
            message_id=f"misrouted/{self._topic.topic_id}/{place}",
            topic=self._topic.name,
            key=str(forward.partition),
            partition=forward.partition,
            body=pack(
                [arrivals.lines[k]],
                key=arrivals.keys[k],
                appended_ms=int(arrivals.appended_ms[k]),
                hops=arrivals.hops[k] + 1,
            ),
        )

    def _announced(self, letters: list[DeadLetter]) -> list[outbox.Message]:
        """One message for each record that had something to refuse."""
        by_place: dict[tuple[int, int], Counter[str]] = {}
        for letter in letters:
            by_place.setdefault((letter.partition, letter.offset), Counter())[letter.code] += 1
        messages = []
        for (partition, offset), codes in by_place.items():
            name = f"dead/{self._topic.topic_id}/{partition}/{offset}"
            body = encode(
                DeadLettered(
                    name, self._clock.domain_ms(), self._topic.name, partition, offset, dict(codes)
                )
            )
            messages.append(
                outbox.Message(name, DEAD_LETTERS.name, f"{self._topic.name}/{partition}", body)
            )
        return messages

    # --- when things go wrong

    def _without_culprits(self, arrivals: Arrivals) -> Arrivals:
        """The arrivals without the events that make the fold fail, each found by halving."""
        faults: dict[int, Fault] = {}
        rest = arrivals
        while len(faults) < MAX_CULPRITS:
            reason = self._trial(rest)
            if reason is None:
                return rest
            low, high = 0, len(rest)
            while high - low > 1:
                middle = (low + high) // 2
                failed = self._trial(rest.slice(0, middle))
                if failed is None:
                    low = middle
                else:
                    high, reason = middle, failed
            if low >= len(rest):
                break
            faults[len(faults)] = Fault("processing_error", "", reason)
            rest = rest.without({low: Fault("processing_error", "", reason)})
        raise ConfigError(
            f"{MAX_CULPRITS} events of one batch break the fold",
            why="this is a bug of ours, not of the events",
            fix="stop the worker and report the traceback above; nothing is lost",
        )

    def _trial(self, arrivals: Arrivals) -> str | None:
        """Folds and collects without keeping anything; returns what went wrong, if anything."""
        keyed, labels = self._rows(arrivals)
        stored_wm = {p: self._positions[p].watermark_ms for p in arrivals.ends}
        try:
            with writing(self._engine) as connection:
                self._save(connection, arrivals, keyed, labels, stored_wm)
                raise _RolledBackError
        except _RolledBackError:
            return None
        except Error:
            raise
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    # --- time

    def _advance_idle(self, busy: set[int]) -> None:
        """Partitions with nothing unread for a while follow the log's clock."""
        now_ms = self._clock.wall_ms()
        for partition in busy:
            self._busy_ms[partition] = now_ms
        waited = [p for p, since in self._busy_ms.items() if now_ms - since >= IDLE_MS]
        waited = [p for p in waited if p in self._positions]
        if not waited:
            return
        ends = self._log.bounds(self._topic.name)
        reached = self._log.now_ms() - self._lateness_ms
        moved = []
        for partition in waited:
            position = self._positions[partition]
            self._busy_ms[partition] = now_ms - IDLE_MS + MINUTE_MS // 60
            if ends[partition].end == position.next and reached > position.watermark_ms:
                moved.append(
                    positions.Moved(
                        partition, position.fence, position.next, position.next, reached
                    )
                )
        self._store_idle(moved)

    def _store_idle(self, moved: list[positions.Moved]) -> None:
        if not moved:
            return
        try:
            with writing(self._engine) as connection:
                positions.advance(
                    connection, consumer=self._consumer, topic=self._topic.name, moved=moved,
                    now_ms=self._clock.wall_ms(),
                )  # fmt: skip
                counters.freeze(connection, {s.partition: s.watermark_ms for s in moved})
        except positions.LostError as lost:
            for partition in lost.partitions:
                self._positions.pop(partition, None)
            return
        for step in moved:
            self._positions[step.partition].watermark_ms = step.watermark_ms

    def _adapt(self, held_s: float) -> None:
        """Takes more at a time when the last transaction was short, less when it was long."""
        factor = min(2.0, max(0.5, self._hold_s / max(held_s, 1e-4)))
        self._bytes = int(min(MAX_BYTES, max(MIN_BYTES, self._bytes * factor)))

    # --- plans

    def _renew_plans(self, arrivals: Arrivals) -> None:
        """Plans are at most a second old, and new when an event names a route version we lack."""
        now_s = time.monotonic()
        if now_s - self._plans_read_s >= PLANS_READ_S:
            self._read_plans()
            return
        known = self._plans.epochs
        for event in arrivals.events:
            if (
                type(event) is Prediction
                and event.route_version is not None
                and (event.model, event.route, event.route_version) not in known
            ):
                self._read_plans()
                return

    def _read_plans(self) -> None:
        self._plans_read_s = time.monotonic()
        first = not self._collector_plans
        with reading(self._engine) as connection:
            fresh = plans.read(connection, after_seq=self._plans.seq)
            self._plans.extend(fresh)
            if fresh or first:
                self._collector_plans = {c.name: c.plans(connection) for c in self._collectors}


class _RolledBackError(Exception):
    """Ends a trial; never leaves `_trial`."""
