"""What reading Kafka costs: four clients on the same topic, and our pass on both engines.

    python -m benchmarks.engines [--json] [--events N] [--only NAME]

`engines.raw.*` only takes records out of a topic of envelopes, a hundred events of 6 features in
each: events per second by the clock from the first record on, and per second of this process's CPU.
`engines.pass.*` is the whole pass into PostgreSQL, `engines.idle.*` the CPU of a worker that has
nothing to read, `engines.recovery.*` what `benchmarks.cluster` means by it. Broker and database
share this machine.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiokafka
import confluent_kafka
import faust
import kafka

from benchmarks.cluster import ROUNDS, Machine, OnKafka, machine, rates, recovery
from benchmarks.figures import Figure, tell
from benchmarks.traffic import PARTITIONS
from penstock.settings import ENGINES
from streams.logs.faust_driver import SETTINGS

IN_ENVELOPE = 100
RAW = 4  # times as many events where they are only taken out
IDLE_S = 30.0
SETTLED_S = 10.0  # until a worker that was started has joined and claimed


class Meter:
    """Counts records, and the time and CPU between the first look and the last."""

    def __init__(self, records: int) -> None:
        self._left = records
        self._began: tuple[float, float] | None = None
        self._ended = (0.0, 0.0)
        self._counted = 0

    def add(self, records: int) -> bool:
        """Whether there are more to come."""
        now = (time.perf_counter(), time.process_time())
        self._left -= records
        if self._began is None and records:
            self._began = now
        else:
            self._counted += records
        self._ended = now
        return self._left > 0

    def rates(self) -> tuple[float, float]:
        """Events per second by the clock, and of this process's CPU."""
        assert self._began is not None
        wall_s, cpu_s = (end - begin for begin, end in zip(self._began, self._ended, strict=True))
        events = self._counted * IN_ENVELOPE
        return events / wall_s, events / cpu_s


def by_kafka_python(servers: str, topic: str, meter: Meter) -> None:
    with kafka.KafkaConsumer(bootstrap_servers=servers, group_id=None) as consumer:
        places = [kafka.TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        while meter.add(sum(map(len, consumer.poll(500, max_records=500).values()))):
            pass


def by_confluent_kafka(servers: str, topic: str, meter: Meter) -> None:
    settings = {"bootstrap.servers": servers, "group.id": "raw", "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(settings)
    consumer.assign([confluent_kafka.TopicPartition(topic, p, offset=0) for p in range(PARTITIONS)])
    while meter.add(len(consumer.consume(500, 0.05))):
        pass
    consumer.close()


def by_aiokafka(servers: str, topic: str, meter: Meter) -> None:
    async def consume() -> None:
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=servers, group_id=None)
        await consumer.start()
        places = [aiokafka.TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while meter.add(sum(map(len, (await consumer.getmany(timeout_ms=500)).values()))):
            pass
        await consumer.stop()

    asyncio.run(consume())


def by_faust(servers: str, topic: str, meter: Meter) -> None:
    async def consume() -> None:
        app = faust.App("raw", broker=f"kafka://{servers}", datadir=folder, **SETTINGS)
        done = asyncio.Event()

        @app.agent(app.topic(topic, value_type=bytes, value_serializer="raw", acks=False))
        async def take(stream: Any) -> None:
            async for _event in stream.events():
                if not meter.add(1):
                    done.set()

        await app.start()
        await done.wait()
        await app.stop()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(consume())


CLIENTS: Mapping[str, Callable[[str, str, Meter], None]] = {
    "kafka-python": by_kafka_python,
    "confluent-kafka": by_confluent_kafka,
    "aiokafka": by_aiokafka,
    "faust": by_faust,
}


def raw(place: OnKafka, name: str) -> tuple[float, float]:
    """Events per second by the clock, and of this process's CPU."""
    records = sum(bounds.end for bounds in place.log.bounds("events").values())
    meter = Meter(records)
    CLIENTS[name](place.cluster.servers, place.cluster.topic("events"), meter)
    return meter.rates()


def of_clients(here: Machine, events: int) -> Iterator[Figure]:
    with here.placed(6) as place:
        place.fill(RAW * events)
        for name in CLIENTS:
            wall, cpu = zip(*(raw(place, name) for _ in range(ROUNDS)), strict=True)
            yield Figure(f"engines.raw.{name}", statistics.median(wall), "events/s", "shown", "-")
            yield Figure(
                f"engines.raw.{name}.cpu", statistics.median(cpu), "events/cpu-s", "shown", "-"
            )


def idle(here: Machine, engine: str) -> float:
    """Per cent of a core that a worker with nothing to read takes."""
    with here.placed(6) as place, place.playing("idle", engine) as process:
        time.sleep(SETTLED_S)
        before = _cpu_s(process.pid)
        time.sleep(IDLE_S)
        return (_cpu_s(process.pid) - before) / IDLE_S * 100


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures(here: Machine, only: str | None, events: int) -> Iterator[Figure]:
    def wanted(name: str) -> bool:
        return only is None or name.startswith(only)

    if wanted("engines.raw"):
        yield from of_clients(here, events)
    for engine in ENGINES:
        if wanted(f"engines.pass.{engine}"):
            rate = statistics.median(rates(here, 6, events, engine=engine))
            yield Figure(f"engines.pass.{engine}", rate, "events/s", "shown", "-")
        if wanted(f"engines.idle.{engine}"):
            yield Figure(f"engines.idle.{engine}", idle(here, engine), "% of a core", "<= 2", "-")
        if wanted(f"engines.recovery.{engine}"):
            seconds = recovery(here, events, engine)
            yield Figure(f"engines.recovery.{engine}", seconds, "s", "<= 2", "-")


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
