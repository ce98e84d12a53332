"""Reads live answers from the log and appends the candidates' beside them.

A consumer of its own, `shadow`: answers are appended first and the place is kept after, so a
crash between the two makes some of them again. They have keys, and count once.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import Engine

from rollout import routes
from rollout.assignment import RouteTable
from rollout.shadow import Candidate, Tally, shadow_of
from streams import codec, envelopes, hashing, registry, versions
from streams.db.clock import Clock
from streams.db.engine import reading, writing
from streams.errors import ConflictError, InputError, UnavailableError
from streams.events import Prediction, routing_key
from streams.holding import Holding
from streams.logs.base import GapError, Log, Record
from streams.models import Declaration, duration_ms
from streams.positions import LostError, Moved
from streams.topics import EVENTS
from streams.versions import RESERVED

CONSUMER = "shadow"
POLL_BYTES = 1 << 20
BATCH = 32
LOOK_S = 1.0
AWAY_S = 1.0
_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""A model and a version of it."""


class Shadow:
    """One shadow runner; others share the log's partitions with it where the log has groups.

    Not shared between threads; `close` ends the candidates.
    """

    def __init__(
        self, log: Log, engine: Engine, *, owner: str, clock: Clock,
        begin: Callable[[versions.Version, Declaration], Candidate],
        seconds: Callable[[], float], named: Iterable[Key] = (), batch: int = BATCH,
    ) -> None:  # fmt: skip
        """Runs the challengers of every valid route table, and those of `named`.

        Args:
            begin: makes a candidate of a version and its model.
            seconds: a clock that never goes back.
        """
        self.waiting = ""  # why it does nothing now, or empty
        self._log, self._engine, self._clock, self._seconds = log, engine, clock, seconds
        self._begin, self._named, self._batch = begin, frozenset(named), batch
        self._holding = Holding(
            log, engine, topic=EVENTS.name, consumer=CONSUMER, owner=owner, clock=clock
        )
        self._candidates: dict[Key, Candidate] = {}
        self._wanted: Mapping[
            tuple[str, str | None], set[Key]
        ] = {}  # by model and route; None: any
        self._horizon_ms: dict[str, int] = {}
        self._looked_s = float("-inf")

    @property
    def tallies(self) -> dict[Key, Tally]:
        """What each candidate did."""
        return {key: candidate.tally for key, candidate in dict(self._candidates).items()}

    def run(self, stop: threading.Event, *, tick: Callable[[], None] = lambda: None) -> None:
        """Answers until `stop`; a store or log that is away is waited for."""
        try:
            while not stop.is_set():
                tick()
                try:
                    self.step(timeout_s=0.2)
                    self.waiting = ""
                except ConflictError as raced:
                    _log.info("claiming again: %s", raced)
                    self._begin_again()
                except UnavailableError as error:
                    _log.warning("waits: %s", error, extra={"why": error.why})
                    self.waiting = error.message
                    self._begin_again()
                    stop.wait(AWAY_S)
        finally:
            self.close()

    def step(self, *, timeout_s: float = 0.0) -> int:
        """Answers what is there, up to one poll's worth; returns how many records were read."""
        if self._holding.changed():
            self._holding.claim()
        if self._seconds() - self._looked_s >= LOOK_S:
            self._look()
        try:
            records = self._holding.poll(max_bytes=POLL_BYTES, timeout_s=timeout_s)
        except GapError as gap:
            self._holding.jump(gap)
            return 0
        if not records:
            return 0
        lines = self._answered(records)
        if lines:
            self._log.append(
                EVENTS.name,
                [(partition, envelopes.pack(some)) for partition, some in lines.items()],
            )
        self._move(records)
        return len(records)

    def close(self) -> None:
        """Every candidate has ended, and the partitions are free."""
        for candidate in self._candidates.values():
            candidate.close()
        self._candidates.clear()
        self._holding.close()

    def _begin_again(self) -> None:
        self._holding.lose_all()
        self._holding.read_again()

    def _answered(self, records: Sequence[Record]) -> dict[int, list[bytes]]:
        """The candidates' answers to `records`, as lines by partition."""
        asked: dict[Key, list[tuple[Prediction, int]]] = defaultdict(list)
        for record in records if self._wanted else ():
            for live in self._live(record):
                for key in self._keys(live):
                    asked[key].append((live, record.appended_ms))
        lines: dict[int, list[bytes]] = defaultdict(list)
        for key, requests in asked.items():
            candidate = self._candidates[key]
            for first in range(0, len(requests), self._batch):
                batch = requests[first : first + self._batch]
                said = candidate.answers([live for live, _ in batch])
                now_ms = self._log.now_ms()
                for (live, appended_ms), answer in zip(batch, said, strict=True):
                    event = shadow_of(live, key[1], answer, queue_ms=now_ms - appended_ms)
                    lines[self._partition(event)].append(msgspec.json.encode(event))
        return lines

    def _live(self, record: Record) -> Iterable[Prediction]:
        """Live answers of a model with candidates; what is too old to be paired is not read."""
        age_ms = self._log.now_ms() - record.appended_ms
        if age_ms > max(self._horizon_ms.values(), default=0):
            return
        decoded, _ = codec.decode_record(record.value)
        for event in decoded.events:
            if not isinstance(event, Prediction) or event.role != "live":
                continue
            if age_ms <= self._horizon_ms.get(event.model, -1):
                yield event

    def _keys(self, live: Prediction) -> Iterable[Key]:
        """The candidates that answer beside `live`: not the one that gave it."""
        wanted = self._wanted.get((live.model, live.route), set())
        wanted = wanted | self._wanted.get((live.model, None), set())
        return [key for key in sorted(wanted & self._candidates.keys()) if key[1] != live.version]

    def _partition(self, event: Prediction) -> int:
        partitions = self._holding.topic.partitions
        return hashing.partition_of(event.model, routing_key(event), partitions)

    def _move(self, records: Sequence[Record]) -> None:
        ends = {record.partition: record.offset + 1 for record in records}
        moved = [
            Moved(p, at.fence, at.next, ends[p], at.watermark_ms)
            for p, at in self._holding.positions.items()
            if p in ends
        ]
        try:
            with writing(self._engine) as connection:
                self._holding.advance(connection, moved)
        except LostError as lost:
            self._holding.lose(lost.partitions)
            raise
        self._holding.stand(moved)

    def _look(self) -> None:
        """The candidates are those of the route tables as they stand now."""
        with reading(self._engine) as connection:
            tables = routes.newest(connection)
            self._wanted = wanted(tables, self._named, now_ms=self._clock.wall_ms())
            keys = set().union(*self._wanted.values())
            for key in keys - self._candidates.keys():
                declared, known = registry.show(connection, key[0])
                version = next((each for each in known if each.label == key[1]), None)
                if version is None or version.body.bundle.onnx is None:
                    self._pass_over(key)
                    continue
                self._candidates[key] = self._begin(version, declared)
                self._horizon_ms[key[0]] = duration_ms(declared.pair_horizon)
        for key in self._candidates.keys() - keys:
            self._candidates.pop(key).close()
        self._looked_s = self._seconds()

    def _pass_over(self, key: Key) -> None:
        """A challenger without a file is the services' to report; one that was named is missed."""
        if key in self._named:
            raise InputError(
                f"{key[0]!r} has no version {key[1]!r} with an ONNX file", field="candidate",
                fix=f"penstock model versions {key[0]}",
            )  # fmt: skip


def wanted(
    tables: Iterable[RouteTable], named: Iterable[Key], *, now_ms: int
) -> Mapping[tuple[str, str | None], set[Key]]:
    """Which versions answer beside live ones, by model and route; None is every route."""
    found: dict[tuple[str, str | None], set[Key]] = defaultdict(set)
    for table in tables:
        if table.expires_at > now_ms:
            for arm in table.arms[:-1]:
                if arm.version not in RESERVED:
                    found[table.model, table.route].add((table.model, arm.version))
    for key in named:
        found[key[0], None].add(key)
    return dict(found)
