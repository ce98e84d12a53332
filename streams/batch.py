"""One batch on its way through the pass: named, folded, saved.

    placed(arrivals)           every name has its number (a transaction of its own)
    keyed(arrivals)            rows, as far as they can be made without the store
    folded(batch, watermarks)  what the store knows, read in one snapshot, and what comes of it
    save(connection, counted)  all of it, in the transaction that moves the positions

Folding happens outside the writing transaction, so that the store is held only to be written.
That is safe because a partition has one fenced owner: what another worker can have written since
the snapshot shows as a taken key or a missing orphan, which is a ConflictError, and the batch is
folded again.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine

from streams import answers, deadletters, intake, ledger, outbox, plans, reports, truths
from streams.arrivals import Arrivals, DeadLetter, Ints, watermarks_before
from streams.codes import Codes
from streams.collector import Collector
from streams.db import bulk
from streams.db.clock import Clock
from streams.db.engine import reading
from streams.envelopes import pack
from streams.events import Fault
from streams.expiry import RETENTION_MS, Days, kept_ms
from streams.facts import Facts, Naming
from streams.installation import secret
from streams.logs.base import TopicState
from streams.messages import DeadLettered, encode
from streams.models import DAY_MS
from streams.requests import Forward
from streams.tables import report
from streams.topics import DEAD_LETTERS

PLANS_READ_S = 1.0


class Batch(msgspec.Struct):
    """Arrivals, and all that can be said of them without the store."""

    arrivals: Arrivals
    keyed: answers.Keyed
    labels: list[truths.Said]


class Counted(msgspec.Struct):
    """What a batch comes to, ready to be saved."""

    added: ledger.Added
    reports: list[ledger.Report]
    assigned: dict[ledger.AssignedKey, tuple[int, int, int]]
    letters: list[DeadLetter]
    deltas: list[tuple[Collector, Any]]
    messages: list[outbox.Message]
    answers: int
    labels: int


class Batches:
    """Turns arrivals into what is saved; keeps the codes and plans that it has read."""

    def __init__(
        self,
        engine: Engine,
        *,
        topic: TopicState,
        collectors: Sequence[Collector],
        clock: Clock,
        lateness_ms: int,
    ) -> None:
        self._engine = engine
        self._topic = topic
        self._collectors = collectors
        self._clock = clock
        self._lateness_ms = lateness_ms
        self._codes = Codes(engine)
        self._days = Days(engine, clock=clock)
        self._plans = plans.Plans()
        self._collector_plans: dict[str, Any] = {}
        self._plans_read_s = 0.0
        self._forgotten = False
        with reading(engine) as connection:
            self._units = answers.Units(secret(connection))
        self._read_plans()

    def placed(self, arrivals: Arrivals) -> Arrivals:
        """Every name has its number; what has no place here is a dead letter."""
        if self._forgotten:
            self._codes = Codes(self._engine)
            self._plans, self._collector_plans = plans.Plans(), {}
            self._read_plans()
            self._forgotten = False
        self._renew_plans(arrivals)
        models = arrivals.models()
        self._codes.ensure({("model", 0, model) for model in models})
        known = self._codes.of("model")
        faults = self._too_late(arrivals)
        if not models <= known.keys():
            fault = Fault("too_many_models", "model", "1,000 models are observed already")
            faults |= {k: fault for k, e in enumerate(arrivals.events) if e.model not in known}
        arrivals = arrivals.without(faults)
        model_nos = {model: known[model] for model in models if model in known}
        wanted = answers.wanted_codes(arrivals, model_nos, self._plans)
        others = [arrivals.events[k] for k in arrivals.others]
        wanted |= truths.wanted_codes(others, model_nos) | reports.wanted_codes(others)
        self._codes.ensure(wanted)
        return arrivals.without(answers.unplaceable(arrivals, model_nos, self._codes))

    def keyed(self, arrivals: Arrivals) -> Batch:
        """The rows of arrivals that were placed."""
        return Batch(
            arrivals,
            answers.rows_of(arrivals, plans=self._plans, codes=self._codes, units=self._units),
            truths.said(arrivals, codes=self._codes),
        )

    def forget(self) -> None:
        """What was read of the store is read again for the next batch: it may have gone back.

        A number that was given in a transaction that a failover or an older copy took back would
        otherwise stand in rows, and mean another name later.
        """
        self._forgotten = True

    def folded(self, batch: Batch, watermarks: Mapping[int, int]) -> Counted:
        """What this batch comes to, given what is stored now.

        Args:
            watermarks: where each partition's stands before them.
        """
        arrivals, keyed, labels = batch.arrivals, batch.keyed, batch.labels
        before = watermarks_before(arrivals, watermarks, lateness_ms=self._lateness_ms)
        with reading(self._engine) as connection:
            folded = self._fold(connection, arrivals, keyed, labels, before)
            added, counts = self._fold_counts(connection, arrivals, before, folded.facts)
        self._days.ensure(folded.added)
        letters = arrivals.dead + folded.dead
        folded.facts.rejected = [(d.code, d.partition, d.at_ms) for d in letters]
        messages = [self._forwarded(arrivals, forward) for forward in folded.forwards]
        return Counted(
            added=folded.added,
            reports=added,
            assigned=counts,
            letters=letters,
            deltas=[
                (collector, collector.collect(folded.facts, self._collector_plans[collector.name]))
                for collector in self._collectors
            ],
            messages=messages + self._announced(letters),
            answers=len(keyed.at),
            labels=len(labels),
        )

    def save(self, connection: Connection, counted: Counted) -> None:
        """All of it is in the transaction. Raises ConflictError if another worker was first."""
        ledger.save(connection, counted.added)
        bulk.insert(connection, report, counted.reports)
        ledger.save_assigned(connection, counted.assigned)
        deadletters.save(connection, self._topic.name, counted.letters)
        for collector, deltas in counted.deltas:
            collector.save(connection, deltas)
        outbox.put(connection, counted.messages, now_ms=self._clock.wall_ms())

    def _too_late(self, arrivals: Arrivals) -> dict[int, Fault]:
        """Events from before the ledger's retention, by the log's clock."""
        ages = arrivals.appended_ms - arrivals.event_ms
        return {
            k: Fault("too_late", "time", f"{int(ages[k]) // DAY_MS} days old, past retention")
            for k in (ages > RETENTION_MS).nonzero()[0].tolist()
            if ages[k] > self._retention_ms(arrivals.events[k].model)
        }

    def _retention_ms(self, model: str) -> int:
        return kept_ms(self._plans.model(model).newest.longest_horizon_ms())

    def _fold(
        self,
        connection: Connection,
        arrivals: Arrivals,
        keyed: answers.Keyed,
        labels: list[truths.Said],
        before: Ints,
    ) -> intake.Folded:
        stored = ledger.probe(connection, *intake.needed(keyed, labels))
        return intake.fold(
            arrivals, keyed, labels, stored, before,
            codes=self._codes, naming=self._naming(arrivals),
            confirmed=ledger.confirmed(connection, stored.answers),
            seen_ms=self._clock.wall_ms(),
        )  # fmt: skip

    def _fold_counts(
        self, connection: Connection, arrivals: Arrivals, before: Ints, facts: Facts
    ) -> tuple[list[ledger.Report], dict[ledger.AssignedKey, tuple[int, int, int]]]:
        """Feedback by unit and assigned counts: neither is about a request."""
        arrived = reports.reports_among(arrivals, codes=self._codes, units=self._units)
        counted = reports.assigned_among(arrivals, before, codes=self._codes)
        ids: dict[int, list[bytes]] = {}
        for _, row in arrived:
            ids.setdefault(row.model_no, []).append(row.feedback_id8)
            if row.supersedes8 is not None:
                ids[row.model_no].append(row.supersedes8)
        known = {no: ledger.reports(connection, no, wanted) for no, wanted in ids.items()}
        added, facts.reported, noted = reports.fold_reports(arrivals, arrived, known, before)
        facts.noted += noted
        stored = ledger.assigned_counts(connection, {key for _, key, _ in counted})
        counts, facts.assigned = reports.fold_assigned(counted, stored)
        return added, counts

    def _naming(self, arrivals: Arrivals) -> Naming:
        numbers = self._codes.of("model")
        models = arrivals.models()
        return Naming(
            {numbers[name]: self._plans.model(name) for name in models},
            {no: name for name, no in self._codes.of("source").items()},
            {numbers[name]: self._codes.of("label", numbers[name]) for name in models},
        )

    def _forwarded(self, arrivals: Arrivals, forward: Forward) -> outbox.Message:
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
            now_ms = self._clock.domain_ms()
            letter_of = DeadLettered(name, now_ms, self._topic.name, partition, offset, dict(codes))
            key = f"{self._topic.name}/{partition}"
            messages.append(outbox.Message(name, DEAD_LETTERS.name, key, encode(letter_of)))
        return messages

    def _renew_plans(self, arrivals: Arrivals) -> None:
        """Plans are at most a second old, and new when an event names a route version we lack."""
        if time.monotonic() - self._plans_read_s >= PLANS_READ_S:
            self._read_plans()
            return
        known = self._plans.epochs
        tables = ((model, route, no) for model, _, _, route, _, no in arrivals.series()[0])
        if any(no is not None and (model, route, no) not in known for model, route, no in tables):
            self._read_plans()

    def _read_plans(self) -> None:
        self._plans_read_s = time.monotonic()
        first = not self._collector_plans
        with reading(self._engine) as connection:
            fresh = plans.read(connection, after_seq=self._plans.seq)
            self._plans.extend(fresh)
            if fresh or first:
                self._collector_plans = {c.name: c.plans(connection) for c in self._collectors}
