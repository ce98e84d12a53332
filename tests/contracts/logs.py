"""The logs that the conformance suite runs over, and a process that appends to one of them.

    python -m tests.contracts.logs KIND PLACE TOPIC TAG COUNT

appends COUNT records `TAG-i` and prints `partition offset TAG-i` after each is acknowledged.
"""

import sys
from pathlib import Path
from typing import Protocol

from streams.db.clock import Clock
from streams.logs.base import Log
from streams.logs.embedded import EmbeddedLog


class Place(Protocol):
    """Somewhere that logs are kept. What is opened twice is the same log."""

    kind: str
    address: str

    def open(self) -> Log: ...

    def forget(self, topic: str) -> None:
        """Every record that the topic holds now is gone, as if its retention had passed."""
        ...

    def drop(self, topic: str) -> None:
        """There is no such topic any more."""
        ...


class EmbeddedPlace:
    kind = "embedded"

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


def open_log(kind: str, address: str) -> Log:
    match kind:
        case "embedded":
            return EmbeddedLog(Path(address), clock=Clock())
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
