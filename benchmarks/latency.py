"""How long after an event was created its count is committed, on a real Kafka and PostgreSQL.

    python -m benchmarks.latency [--json] [--rate N] [--seconds N]

A process creates events at a steady rate and hands them on as the client does: what was created
within 50 ms goes out together, an envelope for each partition. One worker counts them in this
process. An event's latency is the time from its own `time` until the transaction that counted it
is committed, so it includes the window, Kafka, the pass and PostgreSQL. Everything shares this
machine; the first seconds, in which the worker warms up, are left out.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, event

from benchmarks.cluster import Machine, OnKafka
from benchmarks.figures import Figure, tell
from benchmarks.traffic import LABEL_AFTER, Traffic
from deploy.kafka_local import Cluster as Broker
from streams.envelopes import pack
from streams.facts import Facts
from streams.garbage import collected_between
from streams.logs.kafka import KafkaLog
from streams.logs.kafka_cluster import Cluster
from streams.pipe import Pipe
from streams.topics import EVENTS
from streams.turns import short_turns
from tests.contracts import postgres

WINDOW_S = 0.050  # the client's `Limits.flush_ms`
MAX_LINES = 500  # `Limits.batch_events`
REQUESTS_SHARE = 0.7  # of the events; each is a live answer, and some have shadows and labels
MADE_S, LEAD_S = 60e-6, 2.0  # how long an event takes to make, at most; and a little more
WARM_S = 3.0
IDLE_S = 2.0  # with nothing to count: all of it is
QUANTILES = (("p50", 0.5, "-"), ("p95", 0.95, "-"), ("p99", 0.99, "<= 80"), ("max", 1.0, "-"))


class Committed:
    """A collector that notes when answers were created, and how long after it they are committed.

    It stores nothing. The end of a transaction is when its session is back in the pool.
    """

    name = "committed"

    def __init__(self, engine: Engine) -> None:
        self.latencies_ms: list[npt.NDArray[np.float64]] = []
        self._first_ms = 0.0
        self._saved: tuple[object, npt.NDArray[np.int64]] | None = None
        event.listen(engine, "checkin", self._committed)

    def plans(self, connection: Connection) -> None:
        """It needs none."""

    def collect(self, facts: Facts, plans: None) -> npt.NDArray[np.int64]:  # noqa: ARG002
        """When these were created, ms UTC."""
        created: npt.NDArray[np.int64] = facts.answers.ints("event_ms")[facts.answered.row]
        return created

    def save(self, connection: Connection, deltas: npt.NDArray[np.int64]) -> None:
        self._saved = connection.connection.dbapi_connection, deltas

    def _committed(self, session: object, _record: object) -> None:
        if self._saved is None or session is not self._saved[0]:
            return
        now_ms = time.time() * 1000
        created = self._saved[1]
        self._saved = None
        self._first_ms = self._first_ms or now_ms
        warm = created[created > self._first_ms + WARM_S * 1000]
        self.latencies_ms.append(now_ms - warm.astype(np.float64))


def produce(servers: str, prefix: str, rate: int, seconds: float) -> None:
    """Events are handed on by schedule: whoever falls behind hands them on late.

    They are made before, for times to come: what a service does to come to an answer is not ours
    to measure.
    """
    log = KafkaLog(Cluster(servers, prefix=prefix, worker="service"))
    log.append(EVENTS.name, [(0, pack([]))])  # connected, before the clock starts
    begin = time.time() + LEAD_S + rate * seconds * MADE_S
    prepared = list(_windows(begin, rate, seconds))
    if time.time() > begin:
        raise SystemExit("the machine is too slow to make the events before their time")
    for window, envelopes in enumerate(prepared, 1):
        time.sleep(max(0.0, begin + window * WINDOW_S - time.time()))
        log.append(EVENTS.name, envelopes)
    log.close()


def _windows(begin: float, rate: int, seconds: float) -> Iterator[list[tuple[int, bytes]]]:
    """The envelopes of each window of events at this rate."""
    step_ms = 1_000 / (rate * REQUESTS_SHARE)
    traffic = Traffic(
        features=6, start_ms=int(begin * 1000 - LABEL_AFTER * step_ms), step_ms=step_ms
    )
    made = 0
    for window in range(1, int(seconds / WINDOW_S) + 1):
        due = int(window * WINDOW_S * rate / 10) * 10
        envelopes = traffic.envelopes(due - made, size=MAX_LINES)
        yield [(partition, pack(lines)) for partition, lines in envelopes]
        made = due


def latencies_ms(place: OnKafka, rate: int, seconds: float) -> npt.NDArray[np.float64]:
    """Of every answer that was created after the warm-up."""
    committed = Committed(place.engine)
    worker = place.worker([Pipe(), committed])
    command = [sys.executable, "-m", "benchmarks.latency", "--rate", str(rate), "--seconds",
               str(seconds), "--produce", place.cluster.servers, place.cluster.prefix]  # fmt: skip
    with subprocess.Popen(command) as service, short_turns(), collected_between() as collect:
        idle_since = time.monotonic()
        while service.poll() is None or time.monotonic() - idle_since < IDLE_S:
            if worker.step(timeout_s=0.05, settle=False):  # as `Pipeline.run` does
                idle_since = time.monotonic()
            collect()
    worker.close()
    return np.concatenate(committed.latencies_ms)


def figures(machine: Machine, rate: int, seconds: float) -> Iterator[Figure]:
    with machine.placed(6) as place:
        found = latencies_ms(place, rate, seconds)
    against = f"{rate:,} events/s, {len(found):,} answers, window {WINDOW_S * 1000:.0f} ms"
    for name, share, goal in QUANTILES:
        value = float(np.quantile(found, share))
        yield Figure(f"cluster.latency.{name}.ms", value, "ms", goal, against)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--rate", type=int, default=20_000, help="events per second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--produce", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.produce:
        servers, prefix = options.produce
        produce(servers, prefix, options.rate, options.seconds)
        return
    database = postgres.start()
    try:
        with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
            for figure in figures(Machine(broker, database), options.rate, options.seconds):
                tell(figure, as_json=options.json)
    finally:
        database.stop()


if __name__ == "__main__":
    main()
