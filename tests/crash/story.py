"""One history sent twice: to a `penstock up` that is being killed, and to a pipeline in peace."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine, update

from penstock.direct import Direct
from penstock.installation import Installation, opened, prepare
from penstock.intake import pipeline
from penstock.settings import Settings
from streams import installation, outbox, positions, registry
from streams.db.engine import reading, writing
from streams.errors import Error
from streams.tables import installation as installation_table
from streams.topics import EVENTS
from tests.crash.content import Content, content
from tests.crash.history import DECLARATIONS, History
from tests.crash.killing import Killer, Service
from tests.streams import spine

ROOT = Path(__file__).parents[2]
DRAINED_S = 180.0
MEANT = ("answer", "answer_blob", "confirmation", "label", "orphan", "join_row", "report",
         "assigned", "panes", "frozen", "totals", "dead letters")  # fmt: skip
"""What a history must come to for the comparison to mean something."""
QUIET_S = 1.5  # longer than the closer's round


class Told(msgspec.Struct):
    """Figures of the run with kills."""

    seconds: float = 0.0
    events: int = 0
    batches: int = 0
    tries: int = 0
    rejected: int = 0
    longest_stall_s: float = 0.0
    longest_drain_s: float = 0.0

    def add(self, sent: dict[str, Any]) -> None:
        for name in ("seconds", "events", "batches", "tries", "rejected"):
            setattr(self, name, getattr(self, name) + sent[name])
        self.longest_stall_s = max(self.longest_stall_s, sent["longest_stall_s"])


def declare(engine: Engine, at_ms: int) -> None:
    """The models of the history are declared, as long before it as one likes."""
    with writing(engine) as connection:
        for declaration in DECLARATIONS:
            registry.register(connection, declaration, now_ms=at_ms, by="test")


def sent_under_fire(
    history: History, service: Service, killer: Killer, folder: Path, *, per_s: float, kills: int
) -> Told:
    """Every day was sent and counted, and so many kills were made on the way, some each day."""
    told = Told()
    left = kills - killer.allowed
    for number, day in enumerate(history.days):
        killer.allowed = kills - left * (len(history.days) - number - 1) // len(history.days)
        files = [folder / f"{number}-{lane}.jsonl" for lane in range(len(day))]
        for file, lines in zip(files, day, strict=True):
            file.write_bytes(b"\n".join(lines))
        with sender(service.settings.url, per_s, files) as process:
            while process.poll() is None:
                killer.tend()
            out, err = process.communicate()
        assert process.returncode == 0, err
        told.add(json.loads(out))
        begun = time.monotonic()
        wait_until_counted(service, killer)
        told.longest_drain_s = max(told.longest_drain_s, time.monotonic() - begun)
    while killer.kills.total() < kills:
        killer.tend()
    return told


@contextmanager
def sender(url: str, per_s: float, files: list[Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `tests.crash.sender`; what it prints fits into a pipe."""
    command = [sys.executable, "-m", "tests.crash.sender", url, str(per_s), *map(str, files)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_counted(service: Service, killer: Killer | None = None) -> None:
    """Nothing of the log is unread and nothing waits to be sent on, for a while."""
    deadline = time.monotonic() + DRAINED_S
    quiet_since = None
    with opened(service.settings) as here:
        while quiet_since is None or time.monotonic() - quiet_since < QUIET_S:
            if killer is not None:
                killer.tend()
            else:
                time.sleep(0.02)
            try:
                left = _left(here)
            except Error:
                left = -1  # the file is locked for a moment by a start
            quiet_since = None if left else quiet_since or time.monotonic()
            assert time.monotonic() < deadline, f"{left} still to be counted\n{service.said}"


def _left(here: Installation) -> int:
    """Records that are not counted and messages that are not sent."""
    ends = {partition: bounds.end for partition, bounds in here.log.bounds(EVENTS.name).items()}
    with reading(here.engine) as connection:
        standing = positions.standing(connection, consumer="intake", topic=EVENTS.name)
        waiting, _ = outbox.waiting(connection)
    return sum(positions.behind(ends, standing).values()) + waiting


def counted_in_peace(history: History, folder: Path, like: Settings) -> Content:
    """What the same history comes to in a fresh installation with the same secret."""
    settings = Settings(data_dir=folder)
    prepare(settings)
    with opened(like) as other, reading(other.engine) as connection:
        secret = installation.secret(connection)
    with opened(settings) as here:
        with writing(here.engine) as connection:
            connection.execute(
                update(installation_table)
                .where(installation_table.c.name == installation.SECRET)
                .values(value=secret)
            )
        declare(here.engine, history.begin_ms)
        worker = pipeline(here, owner="peace")
        refused = []
        try:
            for day in history.days:
                for lane in day:
                    refused += _taken(here, lane)
                spine.settle(worker, here.log, here.engine, clock=here.clock)
        finally:
            worker.close()
        found = content(here.engine)
        found["dead letters"].update(refused)
        return found


def _taken(here: Installation, lines: list[bytes]) -> list[tuple[str, str, bytes]]:
    """The lines are in the log; what ingest would have kept of the others."""
    target = Direct(here.log)
    kept = []
    for start in range(0, len(lines), 1000):
        batch = lines[start : start + 1000]
        for rejected in target.take(batch):
            kept.append((rejected.code, rejected.field, batch[rejected.index]))
    return kept
