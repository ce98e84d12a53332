"""The logs that the conformance suite runs over, and a process that appends to one of them.

    python -m tests.contracts.logs KIND PLACE TOPIC TAG COUNT

appends COUNT records `TAG-i` and prints `partition offset TAG-i` after each is acknowledged.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from kafka import KafkaAdminClient, TopicPartition

from streams.db.clock import Clock
from streams.logs.base import Log
from streams.logs.embedded import EmbeddedLog
from streams.logs.faust import FaustLog
from streams.logs.kafka import KafkaLog
from streams.logs.kafka_cluster import Cluster


class Place(Protocol):
    """Somewhere that logs are kept. What is opened twice is the same log."""

    kind: str
    address: str
    examples: int  # of a property; a reader of Faust takes a second to begin

    def open(self) -> Log: ...

    def forget(self, topic: str) -> None:
        """Every record that the topic holds now is gone, as if its retention had passed."""
        ...

    def drop(self, topic: str) -> None:
        """There is no such topic any more."""
        ...

    def committed(self, topic: str, group: str) -> dict[int, int]:
        """What tools that show lag see of a group; nothing where there are no such tools."""
        ...


class EmbeddedPlace:
    kind = "embedded"
    examples = 30

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "log.db")

    def open(self) -> EmbeddedLog:
        return EmbeddedLog(Path(self.address), clock=Clock())

    def forget(self, topic: str) -> None:
        log = self.open()
        log.ensure(topic, log.state(topic).partitions, retention_ms=0)
        log.trim(topic, now_ms=log.now_ms() + 1)
        log.close()

    def drop(self, topic: str) -> None:
        log = self.open()
        log.drop(topic)
        log.close()

    def committed(self, topic: str, group: str) -> dict[int, int]:
        del topic, group
        return {}


class KafkaPlace:
    """A real broker's topics, under a prefix of this test's own."""

    def __init__(self, servers: str, prefix: str, *, kind: str = "kafka") -> None:
        self.kind = kind
        self.examples = 4 if kind == "faust" else 30
        self.address = f"{servers}/{prefix}"
        self._servers = servers
        self._prefix = prefix

    def open(self) -> Log:
        return open_log(self.kind, self.address)

    def forget(self, topic: str) -> None:
        log = self.open()
        ends = {
            TopicPartition(self._prefix + topic, p): b.end for p, b in log.bounds(topic).items()
        }
        log.close()
        with self._admin() as admin:
            admin.delete_records(ends)

    def drop(self, topic: str) -> None:
        with self._admin() as admin:
            admin.delete_topics([self._prefix + topic])
            while admin.describe_topics([self._prefix + topic])[0]["error_code"] == 0:
                time.sleep(0.05)

    def committed(self, topic: str, group: str) -> dict[int, int]:
        topic, group = self._prefix + topic, self._prefix + group
        with self._admin() as admin:
            told = admin.list_group_offsets({group: None})[group]
        return {at.partition: stands.offset for at, stands in told.items() if at.topic == topic}

    @contextmanager
    def _admin(self) -> Iterator[KafkaAdminClient]:
        admin = KafkaAdminClient(bootstrap_servers=self._servers)
        yield admin
        admin.close()


def open_log(kind: str, address: str) -> Log:
    match kind:
        case "embedded":
            return EmbeddedLog(Path(address), clock=Clock())
        case "kafka":
            servers, prefix = address.split("/")
            return KafkaLog(Cluster(servers, prefix=prefix))
        case "faust":
            servers, prefix = address.split("/")
            return FaustLog(Cluster(servers, prefix=prefix))
    raise ValueError(kind)


def main(kind: str, address: str, topic: str, tag: str, count: str) -> None:
    log = open_log(kind, address)
    partitions = log.state(topic).partitions
    for i in range(int(count)):
        partition, value = i % partitions, f"{tag}-{i}"
        (offset,) = log.append(topic, [(partition, value.encode())])
        print(partition, offset, value, flush=True)
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
