"""How many events the same pass counts on a real Kafka broker and PostgreSQL.

    python -m benchmarks.cluster [--json] [--events N] [--only NAME]

Broker, database and workers share this machine. The topic is filled first; rates are events per
second of the wall clock from the first to the last event that is counted, full rows and counters
in PostgreSQL. `of_bare` is the share of what the same worker does without collectors. Recovery is
the time from SIGKILL of the one worker until its successor of the same name has counted something.
"""

import argparse
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Engine, func, select

from benchmarks.figures import Figure, tell
from benchmarks.pipeline import Place
from benchmarks.traffic import PARTITIONS
from deploy.kafka_local import Cluster as Broker
from penstock.settings import ENGINES
from streams import positions
from streams.collector import Collector
from streams.db.clock import Clock
from streams.db.engine import reading
from streams.logs.faust import FaustLog
from streams.logs.kafka import KafkaLog
from streams.logs.kafka_cluster import Cluster
from streams.pipe import Pipe
from streams.pipeline import Pipeline
from streams.tables import position
from streams.topics import TOPICS
from tests.contracts import postgres

GOALS = {6: 80_000, 25: 45_000}
ROUNDS = 3
LOOK_S = 0.02
PATIENCE_S = 300.0


class OnKafka(Place):
    """A place whose log is a topic of its own on the broker."""

    def __init__(self, folder: Path, url: str, servers: str, prefix: str, *, features: int) -> None:
        super().__init__(folder, url, features=features)
        self.log.close()
        self.cluster = Cluster(servers, prefix=prefix, worker="bench")
        self.log = KafkaLog(self.cluster)
        self._logs = {"kafka-python": self.log, "faust": FaustLog(self.cluster)}
        for topic in TOPICS:
            self.log.ensure(topic, PARTITIONS)
        self.environ = {
            "PENSTOCK_DATA_DIR": str(folder),
            "PENSTOCK_DATABASE_URL": url,
            "PENSTOCK_KAFKA_SERVERS": servers,
            "PENSTOCK_KAFKA_PREFIX": prefix,
        }

    def worker(self, collectors: Sequence[Collector], engine: str = ENGINES[0]) -> Pipeline:
        log = self._logs[engine]
        return Pipeline(log, self.engine, collectors=collectors, owner="bench", clock=Clock())

    def close(self) -> None:
        self._logs["faust"].close()
        super().close()

    @contextmanager
    def playing(self, name: str, engine: str = ENGINES[0]) -> Iterator["subprocess.Popen[bytes]"]:
        """A worker as a process of its own."""
        command = [sys.executable, "-m", "penstock.cli.main", "worker", "--engine", engine]
        own = {"PENSTOCK_WORKER": name, "PENSTOCK_LOG_LEVEL": "warning"}
        environ = os.environ | self.environ | own
        process = subprocess.Popen(command, env=environ)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


class Machine:
    """One broker and one database server, and a place on both for each measurement."""

    def __init__(self, broker: Broker, database: postgres.Server) -> None:
        self._broker = broker
        self._database = database
        self._numbers = itertools.count()

    @contextmanager
    def placed(self, features: int) -> Iterator[OnKafka]:
        with tempfile.TemporaryDirectory() as folder, self._database.fresh() as url:
            prefix = f"bench-{next(self._numbers)}-"
            place = OnKafka(Path(folder), url, self._broker.address, prefix, features=features)
            try:
                yield place
            finally:
                place.close()


def in_process(
    place: OnKafka, events: int, collectors: Sequence[Collector], engine: str = ENGINES[0]
) -> float:
    """Events per second of one worker in this process, from its first batch on."""
    pipeline, stop = place.worker(collectors, engine), threading.Event()
    seen: list[tuple[float, int]] = []

    def look() -> None:
        if (count := pipeline.taken.events) and (not seen or count >= events):
            seen.append((time.perf_counter(), count))
        if count >= events:
            stop.set()

    pipeline.run(stop, tick=look)
    (started, first), (ended, last) = seen
    return (last - first) / (ended - started)


def counted(engine: Engine) -> int:
    with reading(engine) as connection:
        return positions.counted(connection, consumer="intake", topic="events")[0]


def owners(engine: Engine) -> int:
    """How many workers have claimed partitions."""
    with reading(engine) as connection:
        distinct = select(func.count(position.c.owner.distinct()))
        return int(connection.execute(distinct.where(position.c.consumer == "intake")).scalar_one())


def _beyond(engine: Engine, before: int) -> bool:
    return counted(engine) > before


def until(reached: Callable[[], bool]) -> float:
    """The instant at which it was so."""
    deadline = time.perf_counter() + PATIENCE_S
    while not reached():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"not reached within {PATIENCE_S:g} s")
        time.sleep(LOOK_S)
    return time.perf_counter()


def by_processes(place: OnKafka, events: int, names: Sequence[str]) -> float:
    """Events per second of workers that are processes of their own, once all of them count."""
    with ExitStack() as workers:
        for name in names:
            workers.enter_context(place.playing(name))
        started = until(lambda: owners(place.engine) == len(names))
        first = counted(place.engine)
        ended = until(partial(_beyond, place.engine, events - 1))
    return (events - first) / (ended - started)


def rates(
    machine: Machine, features: int, events: int, *, bare: bool = False, engine: str = ENGINES[0]
) -> list[float]:
    found = []
    for _ in range(ROUNDS):
        with machine.placed(features) as place:
            place.fill(events)
            found.append(in_process(place, events, [] if bare else [Pipe()], engine))
    return found


def recovery(machine: Machine, events: int, engine: str = ENGINES[0]) -> float:
    """Seconds from SIGKILL of the one worker until its successor has counted something."""
    found = []
    for _ in range(ROUNDS):
        with machine.placed(6) as place:
            place.fill(events)
            with place.playing("w1", engine) as first:
                until(partial(_beyond, place.engine, 0))
                first.send_signal(signal.SIGKILL)
                first.wait()
                killed, before = time.perf_counter(), counted(place.engine)
            with place.playing("w1", engine):
                found.append(until(partial(_beyond, place.engine, before)) - killed)
    return statistics.median(found)


def figures(machine: Machine, only: str | None, events: int) -> Iterator[Figure]:
    def wanted(name: str) -> bool:
        return only is None or name.startswith(only)

    whole: dict[int, float] = {}
    for features, goal in GOALS.items():
        if wanted(f"cluster.kafka.{features}"):
            whole[features] = statistics.median(rates(machine, features, events))
            yield Figure(
                f"cluster.kafka.{features}", whole[features], "events/s", f">= {goal}", "-"
            )
    if 6 in whole:
        bare = statistics.median(rates(machine, 6, events, bare=True))
        yield Figure(
            "cluster.kafka.6.of_bare", whole[6] / bare, "share", ">= 0.5", f"{bare:,.0f} events/s"
        )
    if wanted("cluster.faust.6"):
        rate = statistics.median(rates(machine, 6, events, engine="faust"))
        yield Figure("cluster.faust.6", rate, "events/s", "shown", "docs/engines.md")
    if wanted("cluster.two_workers"):
        found = {}
        for names in (("w1",), ("w1", "w2")):
            with machine.placed(6) as place:
                place.fill(events)
                found[len(names)] = by_processes(place, events, names)
        yield Figure(
            "cluster.two_workers.ratio", found[2] / found[1], "ratio", ">= 1.2",
            f"one worker {found[1]:,.0f} events/s",
        )  # fmt: skip
    if wanted("cluster.recovery"):
        yield Figure("cluster.recovery.kill.s", recovery(machine, events), "s", "<= 2", "-")


@contextmanager
def machine() -> Iterator[Machine]:
    """A broker and a database of one's own, for as long as they are measured."""
    database = postgres.start()
    try:
        with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
            yield Machine(broker, database)
    finally:
        database.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--events", type=int, default=300_000, help="events in the topic")
    parser.add_argument("--only", help="figures whose name begins so")
    options = parser.parse_args()
    with machine() as here:
        for figure in figures(here, options.only, options.events):
            tell(figure, as_json=options.json)


if __name__ == "__main__":
    main()
