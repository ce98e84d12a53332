"""The spine in a test's hands: a log whose order and batch borders the test decides, the real
pipeline and relay on a real database, and everything the database holds, under its names.
"""

import shutil
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Table, insert, select

from penstock import migrations
from streams import counters, installation, models, plans, registry, tables
from streams.db.engine import connect, reading, writing
from streams.db.metadata import metadata
from streams.envelopes import pack
from streams.errors import InputError
from streams.logs.base import Bounds, Log, Reader, Record, TopicState
from streams.maturing import LATE_CELLS, MATURED_CELLS
from streams.pipe import ASSIGNED_CELLS, CELLS, LATENCY_BUCKETS, Pipe
from streams.pipeline import Pipeline
from streams.relay import Relay
from streams.topics import DEAD_LETTERS, DECISIONS, EVENTS

T0 = 1_750_000_000_000  # when histories begin: a Sunday, 15:06:40 UTC
LATENESS_MS = 120_000


class Hands:
    """Both clocks, moved by hand."""

    def __init__(self, now_ms: int = T0) -> None:
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        return self.now_ms

    def domain_ms(self) -> int:
        return self.now_ms


class ListLog:
    """A `Log` in memory that serves records in the order they were put, cut as the test says."""

    def __init__(self, clock: Hands, *, partitions: int) -> None:
        self.clock = clock
        topics = (EVENTS, DEAD_LETTERS, DECISIONS)
        self.records: dict[str, list[Record]] = {topic.name: [] for topic in topics}
        self.cuts: deque[int] = deque()  # how many records each poll returns; then all there are
        self._partitions = partitions
        self._ends: dict[str, tuple[int, dict[int, int]]] = {}

    def put(self, partition: int, appended_ms: int, lines: Sequence[bytes]) -> None:
        """One envelope, stamped as the test says."""
        offset = self._ends_of(EVENTS.name)[partition]
        self.records[EVENTS.name].append(Record(partition, offset, appended_ms, pack(lines)))

    def ensure(self, topic: str, partitions: int) -> TopicState:
        assert partitions == self._partitions
        return self.state(topic)

    def state(self, topic: str) -> TopicState:
        if topic not in self.records:
            raise InputError(f"no topic {topic!r}")
        return TopicState(topic, f"id-of-{topic}", self._partitions)

    def append(self, topic: str, values: Sequence[tuple[int, bytes]]) -> list[int]:
        offsets = []
        for partition, value in values:
            offsets.append(self._ends_of(topic)[partition])
            self.records[topic].append(Record(partition, offsets[-1], self.now_ms(), value))
        return offsets

    def bounds(self, topic: str) -> dict[int, Bounds]:
        return {partition: Bounds(0, end) for partition, end in self._ends_of(topic).items()}

    def _ends_of(self, topic: str) -> dict[int, int]:
        """Where each partition ends; what was counted before is not counted again."""
        known, ends = self._ends.get(topic, (0, dict.fromkeys(range(self._partitions), 0)))
        records = self.records[topic]
        for record in records[known:]:
            ends[record.partition] = record.offset + 1
        self._ends[topic] = len(records), ends
        return ends

    def reader(self, topic: str, *, group: str) -> "ListReader":
        del group
        return ListReader(self, topic, range(self._partitions))

    def now_ms(self) -> int:
        return self.clock.now_ms

    def close(self) -> None:
        pass


class ListReader:
    """A `Reader` of a ListLog."""

    def __init__(self, log: ListLog, topic: str, partitions: Iterable[int]) -> None:
        self._log = log
        self._topic = topic
        self._assigned = frozenset(partitions)
        self._next: dict[int, int] = {}

    def assigned(self) -> frozenset[int]:
        return self._assigned

    def seek(self, partition: int, offset: int) -> None:
        self._next[partition] = offset

    def poll(self, *, max_bytes: int, timeout_s: float) -> list[Record]:
        del max_bytes, timeout_s
        unread = [
            record
            for record in self._log.records[self._topic]
            if record.partition in self._next and record.offset >= self._next[record.partition]
        ]
        if unread and self._log.cuts:
            unread = unread[: self._log.cuts.popleft()]
        for record in unread:
            self._next[record.partition] = record.offset + 1
        return unread

    def counted(self, next_offsets: Mapping[int, int]) -> None:
        pass

    def close(self) -> None:
        pass


class Owning:
    """A log of which this worker is assigned some partitions, as a consumer group would do it."""

    def __init__(self, log: Log, partitions: Iterable[int]) -> None:
        self._log = log
        self._mine = frozenset(partitions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def reader(self, topic: str, *, group: str) -> "_OwningReader":
        return _OwningReader(self._log.reader(topic, group=group), self._mine)


class _OwningReader:
    def __init__(self, reader: Reader, mine: frozenset[int]) -> None:
        self._reader = reader
        self._mine = mine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def assigned(self) -> frozenset[int]:
        return self._mine


def prepare(
    engine: Engine,
    revisions: Iterable[tuple[models.Declaration, int]] = (),
    epochs: Iterable[plans.EpochPlan] = (),
) -> None:
    """An installation with these declarations, each from its own time on, and these epochs."""
    with writing(engine) as connection:
        installation.prepare(connection, now_ms=0)
        for declaration, from_ms in revisions:
            registry.register(
                connection, declaration, now_ms=from_ms - registry.NOTICE_MS, by="test"
            )
        for epoch in epochs:
            plans.append(
                connection, kind=plans.EPOCH, id=epoch.model, body=msgspec.json.encode(epoch),
                from_ms=0, now_ms=T0, by="test",
            )  # fmt: skip


class Databases:
    """As many databases in the same state as a test asks for, on either kind of server."""

    def __init__(self, url: str, folder: Path) -> None:
        migrations.upgrade(url)
        self._engine = connect(url)
        self._folder = folder
        self._made = 0
        self._rows: dict[Table, list[dict[str, Any]]] = {}

    def prepare(self, *args: Any) -> "Databases":
        """Every database handed out from now on begins as `spine.prepare` leaves it."""
        prepare(self._engine, *args)
        with reading(self._engine) as connection:
            for table in metadata.sorted_tables:
                self._rows[table] = [dict(r._mapping) for r in connection.execute(select(table))]
        self._engine.dispose()
        return self

    @contextmanager
    def fresh(self) -> Any:
        """An engine on a database that nothing was counted into yet."""
        if self._engine.dialect.name == "postgresql":
            yield self._emptied()
            return
        self._made += 1
        path = self._folder / f"{self._made}.db"
        shutil.copy(str(self._engine.url.database), path)
        engine = connect(f"sqlite:///{path}")
        try:
            yield engine
        finally:
            engine.dispose()
            for left in self._folder.glob(f"{path.name}*"):
                left.unlink()

    def _emptied(self) -> Engine:
        with writing(self._engine) as connection:
            names = ", ".join(table.name for table in self._rows)
            connection.exec_driver_sql(f"TRUNCATE {names}")
            for table, rows in self._rows.items():
                if rows:
                    connection.execute(insert(table), rows)
        return self._engine

    def dispose(self) -> None:
        self._engine.dispose()


def pipeline(
    log: Any, engine: Engine, *, collectors: Sequence[Any] = (), **others: Any
) -> Pipeline:
    """The real pipeline with the built-in collector."""
    given: dict[str, Any] = {"owner": "one", "lateness_ms": LATENESS_MS, **others}
    clock = given.pop("clock", None) or log.clock
    return Pipeline(log, engine, collectors=[Pipe(), *collectors], clock=clock, **given)


def settle(worker: Pipeline, log: Any, engine: Engine, *, clock: Any = None) -> None:
    """Everything unread is counted, and what was sent on is counted where it went."""
    relay = Relay(log, engine, owner="relay", clock=clock or log.clock)
    worker.drain()
    while relay.step():
        worker.drain()


# --- everything the database holds, under its names

SPECIAL = {0: None, -1: "missing", -2: "value", -3: "blob", -4: "other"}
ROLES = ("live", "shadow", "proposed")
BY_KINDS = ("human", "outcome", "llm", "code")
PIPE_CELLS = (*CELLS, *(f"latency_{k}" for k in range(LATENCY_BUCKETS)))
CELL_NAMES = {"pipe": PIPE_CELLS, "matured": MATURED_CELLS, "late": LATE_CELLS,
              "assigned": ASSIGNED_CELLS, "intake": ("events",), "reported": ("events",),
              "rejected": ("events",)}  # fmt: skip
PLAIN = (tables.answer_blob, tables.label_blob, tables.report, tables.assigned, tables.gap)
PLACE = ("partition", "log_offset", "idx")
CLOCKED = {"seen_ms", "updated_ms", "at_ms", "created_ms"}  # of the wall clock, and so not compared


class _Names:
    def __init__(self, connection: Connection) -> None:
        self._names = {
            (row.kind, row.scope, row.no): row.name
            for row in connection.execute(select(tables.code))
        }

    def __call__(self, kind: str, no: int, scope: int = 0) -> str | None:
        return None if kind == "arm" and no == 0 else self._names[kind, scope, no]

    def truth(self, code: int, model_no: int) -> Any:
        return SPECIAL[code] if code <= 0 else ("class", self("label", code, model_no))

    def what(self, what: str) -> tuple[Any, ...]:
        family, *rest = what.split("/")
        if family in ("pipe", "matured", "late"):
            model_no, version_no, role, arm_no = map(int, rest[:4])
            names = (self("model", model_no), self("version", version_no, model_no), ROLES[role])
            return (family, *names, self("arm", arm_no), *rest[4:])
        match family, rest:
            case "assigned", [model, route, route_version, arm]:
                at = (self("model", int(model)), self("route", int(route)))
                return (family, *at, int(route_version), self("arm", int(arm)))
            case "intake", [noted, model]:
                return (family, noted, self("model", int(model)))
            case "reported", [model, route, name]:
                kinds = (("model", model), ("route", route), ("feedback", name))
                return (family, *(self(kind, int(no)) for kind, no in kinds))
        return (family, *rest)

    def cells(self, what: str, blob: bytes) -> dict[str, int]:
        names = CELL_NAMES[what.partition("/")[0]]
        counted = zip(names, counters.vector(blob).tolist(), strict=True)
        return {name: count for name, count in counted if count}


def content(engine: Engine) -> dict[str, Any]:
    """What was counted and kept, by table; numbers are resolved to names, zero cells left out."""
    with reading(engine) as connection:
        name = _Names(connection)
        rows = {t: connection.execute(select(t)).mappings().all() for t in metadata.sorted_tables}
    found: dict[str, Any] = {
        "answers": dict(_answer(row, name) for row in rows[tables.answer]),
        "labels": dict(_label(row, name) for row in rows[tables.label]),
        "orphans": dict(_orphan(row, name) for row in rows[tables.orphan]),
        "joins": {
            (name("model", r["model_no"]), r["join16"], r["pid16"]) for r in rows[tables.join_row]
        },
        "confirmations": {
            (*_request(r, name), name("version", r["version_no"], r["model_no"])): _place(r)
            for r in rows[tables.confirmation]
        },
        "cells": {}, "frozen": set(), "totals": {},
        "dead": {
            (r["partition"], r["log_offset"], r["idx"]): (r["code"], r["field"], r["at_ms"])
            for r in rows[tables.dead_letter]
        },
        "positions": {
            (r["consumer"], r["partition"]): (r["next"], r["watermark_ms"])
            for r in rows[tables.position]
        },
    }  # fmt: skip
    for row in rows[tables.counter]:
        key = (name.what(row["what"]), row["pane_ms"], row["partition"])
        if cells := name.cells(row["what"], row["cells"]):
            found["cells"][key] = cells
            found["frozen"] |= {key} if row["frozen"] else set()
    for row in rows[tables.counter_total]:
        cells = name.cells(row["what"], row["cells"])
        found["totals"][name.what(row["what"]), row["partition"]] = (cells, row["panes"])
    for table in PLAIN:
        found[table.name] = sorted((_plain(row, name) for row in rows[table]), key=repr)
    return found


def placeless(found: dict[str, Any]) -> dict[str, Any]:
    """What the same events come to in whatever order: no places, and no counts of repeats, late
    and waiting events.
    """
    by_order = ("late", "intake")
    plain = {
        name: sorted(
            ({k: v for k, v in row.items() if k not in PLACE} for row in found[name]), key=repr
        )
        for name in ("answer_blob", "label_blob", "report", "assigned")
    }
    return plain | {
        "answers": {k: row | {"place": None} for k, row in found["answers"].items()},
        "labels": {k: row[:-1] for k, row in found["labels"].items()},
        "orphans": set(found["orphans"]), "joins": found["joins"],
        "confirmations": set(found["confirmations"]), "dead": found["dead"],
        "cells": {k: v for k, v in found["cells"].items() if k[0][0] not in by_order},
        "frozen": found["frozen"], "totals": found["totals"],
        "watermarks": {k: watermark_ms for k, (_, watermark_ms) in found["positions"].items()},
    }  # fmt: skip


def _request(row: Any, name: _Names) -> tuple[Any, ...]:
    return name("model", row["model_no"]), row["day"], row["pid16"]


def _plain(row: Any, name: _Names) -> dict[str, Any]:
    plain = {k: v for k, v in row.items() if k not in CLOCKED and not k.endswith("_no")}
    if "label_code" in plain:
        plain["label_code"] = name.truth(row["label_code"], row["model_no"])
    return plain


def _place(row: Any) -> tuple[int, int, int]:
    return row["partition"], row["log_offset"], row["idx"]


def _answer(row: Any, name: _Names) -> tuple[Any, Any]:
    model_no = row["model_no"]
    key = (*_request(row, name), name("version", row["version_no"], model_no))
    return key, {
        "place": _place(row), "event_ms": row["event_ms"], "role": ROLES[row["role"]],
        "route": name("route", row["route_no"]), "arm": name("arm", row["arm_no"]),
        "epoch": row["epoch"], "unit": row["unit8"] is not None, "slices": row["slices"],
        "decision": name.truth(row["label_code"], model_no), "value": row["value"],
        "score": row["score"], "level": row["level"], "latency_us": row["latency_us"],
        "flags": row["flags"],
    }  # fmt: skip


def _label(row: Any, name: _Names) -> tuple[Any, Any]:
    key = (*_request(row, name), name("source", row["source_no"]), row["label_id8"])
    said = (name.truth(row["label_code"], row["model_no"]), row["value"], row["observed_ms"])
    how = (row["supersedes"], row["by_join"], BY_KINDS[row["by_kind"]])
    return key, (*said, *how, _place(row))


def _orphan(row: Any, name: _Names) -> tuple[Any, Any]:
    key = (*_request(row, name), name("source", row["source_no"]), row["label_id8"])
    return key, (_place(row), row["appended_ms"], row["hops"])
