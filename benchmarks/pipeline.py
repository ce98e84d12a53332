"""How many events the whole pass counts, and what it costs beside the raw limit.

    python -m benchmarks.pipeline [--json] [--events N] [--only NAME]

The log is filled first; then the pass runs alone in this process. Its rate is events per second
of this process's CPU; the limit is decoding the same records and inserting the same full rows,
nothing else, measured in turn with the pass. (Making a row is part of inserting it: ids to bytes,
names to numbers, the decision, its level, slices and the unit's hash.)
"""

import argparse
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import Engine, text

from benchmarks import ingest
from benchmarks.figures import Figure, tell
from benchmarks.traffic import MODEL, PARTITIONS, Traffic, declaration
from penstock.migrations import upgrade
from rollout.cells import Salts
from rollout.closer import UnitCloser
from rollout.collector import Rollouts
from rollout.epochs import Start, opened
from rollout.opening import open_epoch
from rollout.spec import read
from streams import answers, counters, installation, plans, truths
from streams.arrivals import gather
from streams.codes import Codes
from streams.db import bulk
from streams.db.clock import Clock
from streams.db.engine import connect, reading, writing
from streams.envelopes import pack
from streams.garbage import collected_between
from streams.logs.base import Log
from streams.logs.embedded import EmbeddedLog
from streams.pipe import Pipe
from streams.pipeline import Pipeline
from streams.tables import answer, label
from tests.contracts import postgres

GOALS = {6: 100_000, 25: 70_000, 48: 45_000}
ROUNDS = 3


class Place:
    """A log, a store and a registered model, ready for a pass."""

    def __init__(self, folder: Path, url: str, *, features: int, sticky: bool = False) -> None:
        upgrade(url)
        self.engine = connect(url)
        with writing(self.engine) as connection:
            installation.prepare(connection, now_ms=0)
            plans.append(
                connection, kind=plans.MODEL, id=MODEL, body=msgspec.json.encode(declaration()),
                from_ms=0, now_ms=0, by="bench",
            )  # fmt: skip
        self.log: Log = EmbeddedLog(folder / "log.db", clock=Clock())
        self.log.ensure("events", PARTITIONS)
        self.log.ensure("dead-letters", 1)
        start_ms = time.time_ns() // 1_000_000 - 30 * 3_600_000  # five million events ago
        if sticky:
            _begin_sticky(self.engine)
        self.traffic = Traffic(
            features=features, start_ms=start_ms, route_version=1 if sticky else None
        )

    def fill(self, events: int) -> None:
        """The log holds this many more events, a hundred in an envelope."""
        batch = []
        for partition, lines in self.traffic.envelopes(events):
            batch.append((partition, pack(lines)))
            if len(batch) == 200:
                self.log.append("events", batch)
                batch = []
        if batch:
            self.log.append("events", batch)

    def pipeline(self) -> Pipeline:
        return Pipeline(
            self.log, self.engine, collectors=[Pipe(), Rollouts()], owner="bench", clock=Clock()
        )

    def close(self) -> None:
        self.log.close()
        self.engine.dispose()


_STICKY = b"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {name: sticky}
spec:
  model: bench
  route: default
  champion: {version: "41"}
  challengers: [{version: "42"}]
  assignment: {unit: account}
  slices: [eu, mobile]
  metrics:
    - {name: errors, from: prediction, stat: rate, margin: {absolute: 0.01}, exposure: 10m}
    - {name: latency, from: prediction, stat: mean, cap: 100, margin: {absolute: 1}, exposure: 10m}
    - {name: wrong, from: label, margin: {absolute: 0.01}, matures: 10m, missing: wrong,
       observed: always}
  guardrails: [errors]
  stages: [{canary: {weights: [1], dwell: 1h, require: guardrails, deadline: 4d}}]
"""


def _begin_sticky(engine: Engine) -> None:
    """All answers are evidence of one epoch, nearly all of them of units that it compares."""
    salts = Salts(assignment="s", audit="a", rounding="r", self_check="c")
    start = Start(rollout="sticky", epoch=1, opens_ms=0, salts=salts, shares=(0.01,))
    body = opened(read(_STICKY)[0].spec, declaration(), start, {})
    with writing(engine) as connection:
        open_epoch(connection, body, now_ms=0)
        plans.append(
            connection, kind=plans.EPOCH, id="sticky", from_ms=0, now_ms=0, by="bench",
            body=msgspec.json.encode(plans.EpochPlan(MODEL, "default", 1, 1, "s")),
        )  # fmt: skip


@contextmanager
def placed(*, features: int, url: str | None = None, sticky: bool = False) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder:
        url = url or f"sqlite:///{folder}/results.db"
        place = Place(Path(folder), url, features=features, sticky=sticky)
        yield place
        place.close()


def whole_pass(place: Place) -> float:
    """Events per CPU-second of the pass over everything in the log."""
    pipeline = place.pipeline()
    with collected_between():
        started = time.process_time()
        pipeline.drain()
        spent = time.process_time() - started
    pipeline.close()
    return pipeline.taken.events / spent


def limit(place: Place, engine: Engine) -> float:
    """Events per CPU-second of decoding the log and making and inserting the full rows alone."""
    codes = Codes(engine)
    units = answers.Units(b"bench")
    snapshot = plans.Plans()
    with reading(engine) as connection:
        snapshot.extend(plans.read(connection))
    reader = place.log.reader("events", group="limit")
    for partition in reader.assigned():
        reader.seek(partition, 0)
    seen: set[bytes] = set()
    spent, events = 0.0, 0
    while records := reader.poll(max_bytes=1_000_000, timeout_s=0):
        started = time.process_time()
        arrivals = gather(records)
        keyed = answers.rows_of(arrivals, plans=snapshot, codes=codes, units=units)
        columns = keyed.answers.in_order().columns()
        spent += time.process_time() - started
        events += len(arrivals)
        said = truths.said(arrivals, codes=codes)
        labels = [
            (*bulk.parts(s.key), s.source_no, s.truth.label_id8, s.truth.by_join,
             s.truth.label_code, s.truth.value, s.truth.observed_ms, s.truth.supersedes,
             s.truth.by_kind, 0, 0, 0)
            for s in said if s.key not in seen
        ]  # fmt: skip
        started = time.process_time()
        with writing(engine) as connection:
            bulk.insert_columns(connection, answer, columns)
            bulk.insert(connection, label, labels)
        spent += time.process_time() - started
    reader.close()
    return events / spent


def of_limit(events: int) -> Iterator[Figure]:
    """The pass at 25 features, and its share of the raw limit, in turn."""
    rates, shares = [], []
    for _ in range(ROUNDS):
        with placed(features=25) as place:
            place.fill(events)
            rate = whole_pass(place)
            with writing(place.engine) as connection:
                connection.execute(text("DELETE FROM answer"))
                connection.execute(text("DELETE FROM label"))
            with collected_between():
                raw = limit(place, place.engine)
            rates.append(rate)
            shares.append(rate / raw)
    yield Figure(
        "pass.sqlite.25", statistics.median(rates), "events/cpu-s", f">= {GOALS[25]}",
        "decode, make and insert rows",
    )  # fmt: skip
    yield Figure(
        "pass.sqlite.25.of_limit", statistics.median(shares), "share", ">= 0.5",
        "decode, make and insert rows",
    )  # fmt: skip


def at_features(features: int, events: int) -> Figure:
    rates = []
    for _ in range(ROUNDS):
        with placed(features=features) as place:
            place.fill(events)
            rates.append(whole_pass(place))
    return Figure(
        f"pass.sqlite.{features}", statistics.median(rates), "events/cpu-s",
        f">= {GOALS[features]}", "-",
    )  # fmt: skip


def of_units(events: int) -> Iterator[Figure]:
    """The pass at 25 features where every answer is evidence of a sticky unit, and its closer."""
    rates, closings = [], []
    for _ in range(ROUNDS):
        with placed(features=25, sticky=True) as place:
            place.fill(events)
            rates.append(whole_pass(place))
            closer = UnitCloser(place.engine, partitions=lambda: PARTITIONS, topic="events")
            started = time.process_time()
            while closer.step():
                pass
            spent = time.process_time() - started
            with reading(place.engine) as connection:
                cells = counters.totals(connection, "rollout/1/enrolled").values()
            units = sum(int(each.sum()) for each in cells)
            closings += [spent / units * 1e6] if units else []
    yield Figure(
        "pass.sqlite.25.sticky", statistics.median(rates), "events/cpu-s", "shown",
        "every answer is a sticky unit's",
    )  # fmt: skip
    if closings:  # the events span more than what a unit waits for
        yield Figure("closer.unit.us", statistics.median(closings), "us", "shown", "three metrics")


def on_postgres(events: int) -> Iterator[Figure]:
    """The pass's own CPU, the server's, and both on this machine by the clock."""
    server = postgres.start()
    found: list[tuple[float, float, float]] = []
    try:
        for _ in range(ROUNDS):
            with server.fresh() as url, placed(features=25, url=url) as place:
                place.fill(events)
                before_s, started = server.cpu_s(), time.perf_counter()
                rate = whole_pass(place)
                wall_s, server_s = time.perf_counter() - started, server.cpu_s() - before_s
                found.append((rate, events / server_s, events / wall_s))
    finally:
        server.stop()
    names = ("", ".server", ".wall")
    units = ("events/cpu-s", "events/cpu-s of the server", "events/s")
    for name, unit, rates in zip(names, units, zip(*found, strict=True), strict=True):
        yield Figure(f"pass.postgres.25{name}", statistics.median(rates), unit, "shown", "-")


def second_writer(events: int) -> Figure:
    """How long another writer waits for the results file while the pass runs flat out."""
    waits: list[float] = []
    with placed(features=25) as place:
        place.fill(events)
        pipeline = place.pipeline()
        stop = threading.Event()
        worker = threading.Thread(target=pipeline.run, args=(stop,))
        other = connect(str(place.engine.url), durable=True)
        worker.start()
        while pipeline.taken.events < events * 0.9:
            started = time.perf_counter()
            with writing(other) as connection:
                waits.append((time.perf_counter() - started) * 1000)
                installation.keep_tick(connection, 1)
            time.sleep(0.02)
        stop.set()
        worker.join()
        other.dispose()
    p95 = statistics.quantiles(waits, n=20)[-1]
    return Figure("store.second_writer.p95.ms", p95, "ms", "<= 25", f"{len(waits)} writes")


def memory(events: int) -> Iterator[Figure]:
    """Resident memory after a fifth and at the end of a long run, pass and log reader together."""
    with placed(features=6) as place:
        pipeline = place.pipeline()
        sizes = []
        for _ in range(5):
            place.fill(events // 5)
            pipeline.drain()
            sizes.append(_resident_mb())
        pipeline.close()
    yield Figure("pass.rss_mb", sizes[-1], "MB", "<= 400", f"{events:,} events")
    yield Figure("pass.rss_growth_mb", sizes[-1] - sizes[0], "MB", "flat", "after the first fifth")


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6


def figures(only: str | None, events: int) -> Iterator[Figure]:
    def wanted(name: str) -> bool:
        return only is None or name.startswith(only)

    if wanted("pass.sqlite.6"):
        yield at_features(6, events)
    if wanted("pass.sqlite.25"):
        yield from of_limit(events)
    if wanted("pass.sqlite.25.sticky"):
        yield from of_units(events)
    if wanted("pass.sqlite.48"):
        yield at_features(48, events)
    if wanted("pass.postgres.25"):
        yield from on_postgres(events)
    if wanted("store.second_writer.p95.ms"):
        yield second_writer(events)
    if wanted("ingest.http"):
        with tempfile.TemporaryDirectory() as folder:
            yield from ingest.run(Path(folder), seconds=10.0, connections=16)
    if wanted("pass.rss_mb"):
        yield from memory(5_000_000 if events >= 200_000 else events * 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=200_000, help="events in the log")
    parser.add_argument("--only", help="figures whose name begins so")
    options = parser.parse_args()
    for figure in figures(options.only, options.events):
        tell(figure, as_json=options.json)


if __name__ == "__main__":
    main()
