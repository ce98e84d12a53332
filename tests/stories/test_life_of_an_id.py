"""One request from `assign` to a frozen pane, through the real parts; only the clock is ours.

The steps are those of `docs/architecture.md`, as far as they stand.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from penstock_client import Client
from sqlalchemy import select

from penstock import installation
from penstock.settings import Settings
from penstock.web.app import create_app
from penstock.web.serve import serve
from streams import codec, counters, hashing, ledger, registry, tables
from streams.codes import Codes
from streams.db.engine import connect, reading, writing
from streams.logs.base import Record
from streams.logs.embedded import EmbeddedLog
from streams.logs.group_commit import GroupCommit
from streams.maturing import LATE_CELLS, MATURED_CELLS
from streams.models import Declaration, Slice, Term
from streams.pipe import ASSIGNED_CELLS, CELLS
from streams.topics import EVENTS
from tests.streams import spine

MINUTE_MS = 60_000
HORIZON_MS = 3 * MINUTE_MS
T0 = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS + 10_000
"""When the request is answered: ten seconds into the minute of the client's own clock."""

DIGITS = Declaration(
    model="digits",
    task="classification",
    classes=tuple("0123456789"),
    horizons={"outcome": "3m"},
    slices=(
        Slice("day shift", (Term(tag="shift", equals="day"),)),
        Slice("night shift", (Term(tag="shift", equals="night"),)),
    ),
)


class World:
    """A web server, a log, the results and intake, each the real one, and a clock set by hand."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data_dir=folder / "data", disk_reserve_bytes=0)
        installation.prepare(settings)
        self.clock = spine.Hands(T0)
        self.engine = connect(settings.database)
        self.log = EmbeddedLog(settings.log_path, clock=self.clock)  # type: ignore[arg-type]
        with writing(self.engine) as connection:
            registry.register(connection, DIGITS, now_ms=T0, by="test")
        self.commits = GroupCommit(self.log)
        self.app = create_app(
            settings=settings, log=self.log, commits=self.commits, engine=self.engine, checks={}
        )
        self.intake = spine.pipeline(self.log, self.engine, clock=self.clock)

    def close(self) -> None:
        self.intake.close()
        self.commits.close()
        self.log.close()
        self.engine.dispose()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The URL of the server, which runs in a thread of its own."""
        stop, opened, ports = threading.Event(), threading.Event(), list[int]()

        def started(port: int) -> None:
            ports.append(port)
            opened.set()

        thread = threading.Thread(
            target=serve, args=(self.app, "127.0.0.1", 0, stop), kwargs={"started": started}
        )
        thread.start()
        assert opened.wait(30)
        try:
            yield f"http://127.0.0.1:{ports[0]}"
        finally:
            stop.set()
            thread.join()

    def records(self) -> list[Record]:
        """Everything in the log."""
        reader = self.log.reader(EVENTS.name, group="test")
        try:
            for partition in reader.assigned():
                reader.seek(partition, 0)
            return reader.poll(max_bytes=1 << 26, timeout_s=0)
        finally:
            reader.close()

    def answers(self) -> list[Any]:
        with reading(self.engine) as connection:
            rows = connection.execute(select(tables.answer).order_by(tables.answer.c.version_no))
            return list(rows)

    def size(self) -> dict[str, int]:
        with reading(self.engine) as connection:
            return ledger.size(connection)

    def panes(self, family: str, *rest: str) -> dict[int, dict[str, int]]:
        """The panes of one counter by their start, with the cells that are not zero."""
        with reading(self.engine) as connection:
            found = counters.panes(connection, "/".join((family, *rest)))
        cells = {"pipe": CELLS, "late": LATE_CELLS, "assigned": ASSIGNED_CELLS,
                 "intake": ("events",)}[family]  # fmt: skip
        return {
            pane: {n: c for n, c in zip(cells, row.tolist(), strict=False) if c}
            for (_, pane), row in found.items()
        }

    def frozen(self, *rest: str) -> dict[str, int]:
        """The frozen total of one counter."""
        with reading(self.engine) as connection:
            totals = counters.totals(connection, "/".join(("matured", *rest)))
        return {
            name: int(sum(cells[k] for cells in totals.values()))
            for k, name in enumerate(MATURED_CELLS)
        }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_the_life_of_one_id(world: World, tmp_path: Path) -> None:
    with (
        world.serving() as url,
        Client(url, "digits", champion="v1", state_dir=tmp_path / "client") as client,
    ):
        live(world, client)


def live(world: World, client: Client) -> None:
    clock, intake = world.clock, world.intake

    # 1. The service asks who answers, and says what was answered; the log holds it.
    assignment = client.assign("customer-7", tags={"shift": "night"})
    client.record(assignment, label="3", score=0.7, latency_ms=2.5, time_ms=T0)
    assert client.flush(10)

    one = assignment.prediction_id
    assert (assignment.version, assignment.arm) == ("v1", "champion")
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one)
    home = hashing.partition_of("digits", one, 12)
    (record,) = [r for r in world.records() if one.encode() in r.value]
    (line,) = [x for x in codec.decode_record(record.value)[0].lines if one.encode() in x]
    assert record.partition == home
    assert msgspec.json.decode(line)["output"] == {"label": "3", "score": 0.7}

    # 2. Intake: one row, with its place, its slice and no more of the unit than a keyed hash.
    intake.drain()

    (row,) = world.answers()
    codes = Codes(world.engine)
    (m,) = (str(no) for no in codes.of("model").values())
    labels = codes.of("label", int(m))
    assert (row.partition, row.log_offset, row.event_ms) == (home, record.offset, T0)
    assert (row.role, row.slices, row.latency_us) == (0, 0b10, 2500)
    assert row.label_code == labels["3"]
    assert row.unit8 is not None
    v1 = (m, str(codes.of("version", int(m))["v1"]), "0")
    minute = T0 - T0 % MINUTE_MS
    assert world.panes("pipe", *v1) == {minute: {"answered": 1}}
    (counted,) = world.panes("assigned", m).values()
    assert counted == {"assigned": 1, "answered": 1}

    # 3. Another version's answer to the same id goes to the same partition: a pair.
    client.record(assignment, label="5", score=0.9, role="shadow", version="v2", time_ms=T0 + 1_000)
    assert client.flush(10)
    intake.drain()

    live_row, shadow_row = world.answers()
    v2 = (m, str(Codes(world.engine).of("version", int(m))["v2"]), "1")
    assert (shadow_row.pid16, shadow_row.partition) == (live_row.pid16, home)
    assert world.panes("pipe", *v1) == {minute: {"answered": 1}}
    assert world.panes("pipe", *v2) == {minute: {"answered": 1, "paired": 1, "disagreed": 1}}

    # 5. The outcome arrives, and is corrected: -1 and +1 in the same pane.
    clock.now_ms = T0 + 60_000
    client.label(prediction_id=one, label="3", label_id="first", time_ms=T0 + 50_000)
    assert client.flush(10)
    intake.drain()

    assert world.panes("pipe", *v1)[minute] == {"answered": 1, "labelled": 1, "right": 1}
    assert world.panes("pipe", *v2)[minute]["wrong"] == 1

    client.label(
        prediction_id=one, label="5", label_id="second", supersedes="first", time_ms=T0 + 55_000
    )
    assert client.flush(10)
    intake.drain()

    assert world.panes("pipe", *v1) == {minute: {"answered": 1, "labelled": 1, "wrong": 1}}
    assert world.panes("pipe", *v2)[minute]["right"] == 1
    assert world.size() == {"answer": 2, "label": 2, "orphan": 0}

    # Beside it, a request of the same minute whose truth does not come in time.
    other = client.assign("customer-8", tags={"shift": "day"})
    client.record(other, label="1", score=0.6, time_ms=T0 + 20_000)
    assert client.flush(10)
    intake.drain()

    assert world.panes("pipe", *v1)[minute]["answered"] == 2
    assert world.frozen(*v1) == {"answered": 0, "labelled": 0, "declared_missing": 0}

    # 6. The watermark passes the pane's end by the horizon: it is frozen for ever.
    clock.now_ms = minute + MINUTE_MS + HORIZON_MS + spine.LATENESS_MS + 1_000
    intake.step()  # the partitions have been idle for more than 30 s

    frozen = world.frozen(*v1)
    assert frozen == {"answered": 2, "labelled": 1, "declared_missing": 0}
    missing = frozen["answered"] - frozen["labelled"] - frozen["declared_missing"]
    assert missing == 1
    assert world.frozen(*v2) == {"answered": 1, "labelled": 1, "declared_missing": 0}

    # What comes now is counted beside it, and in the figures that follow corrections.
    client.label(
        prediction_id=other.prediction_id, label="1", label_id="late", time_ms=clock.now_ms
    )
    assert client.flush(10)
    intake.drain()

    assert world.frozen(*v1) == frozen
    assert world.panes("late", *v1) == {minute: {"none_to_labelled": 1}}
    assert world.panes("pipe", *v1)[minute] == {
        "answered": 2, "labelled": 2, "right": 1, "wrong": 1
    }  # fmt: skip

    # All of it once more: nothing is counted twice.
    before = (world.size(), world.panes("pipe", *v1), world.panes("pipe", *v2))
    client.label(prediction_id=one, label="3", label_id="first", time_ms=T0 + 50_000)
    client.record(assignment, label="5", score=0.9, role="shadow", version="v2", time_ms=T0 + 1_000)
    assert client.flush(10)
    intake.drain()

    assert (world.size(), world.panes("pipe", *v1), world.panes("pipe", *v2)) == before
    assert sum(p["events"] for p in world.panes("intake", "duplicate", m).values()) == 2
