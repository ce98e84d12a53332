"""The log's topics as an operator sees them."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from penstock import installation
from penstock.logs import open_log
from penstock.settings import Settings
from streams.db.clock import Clock
from streams.errors import InputError
from streams.logs.base import Log
from streams.topics import TOPICS


class Topic(msgspec.Struct, frozen=True):
    """A topic of the house; no partitions and no id where the log has none of that name."""

    topic: str
    partitions: int
    records: int  # that are still held
    gone: int  # that retention took
    retention_ms: int | None  # as the log says; None where it keeps them for ever, or says nothing
    min_insync: int | None  # copies that an append waits for; None on the embedded log
    topic_id: str


class Partition(msgspec.Struct, frozen=True):
    """What one partition holds: begin <= offset < end."""

    partition: int
    begin: int
    end: int


def ensure(settings: Settings) -> list[Topic]:
    """Every topic of the house is there; those that stand keep what they have."""
    installation.make_folder(settings)
    with _log(settings) as log:
        installation.make_topics(settings, log)
        return [_topic(log, name) for name in TOPICS]


def listed(settings: Settings) -> list[Topic]:
    """Every topic of the house, whether it is there or not."""
    with _log(settings) as log:
        return [_topic(log, name) for name in TOPICS]


def described(settings: Settings, name: str) -> list[Partition]:
    """The partitions of one topic. Raises InputError when there is none of that name."""
    with _log(settings) as log:
        return [Partition(p, b.begin, b.end) for p, b in sorted(log.bounds(name).items())]


def _topic(log: Log, name: str) -> Topic:
    try:
        state = log.state(name)
    except InputError:
        return Topic(name, 0, 0, 0, None, None, "")
    bounds = log.bounds(name).values()
    kept = log.kept(name)
    return Topic(
        name,
        state.partitions,
        sum(b.end - b.begin for b in bounds),
        sum(b.begin for b in bounds),
        kept.retention_ms,
        kept.min_insync,
        state.topic_id,
    )


@contextmanager
def _log(settings: Settings) -> Iterator[Log]:
    log = open_log(settings, clock=Clock())
    try:
        yield log
    finally:
        log.close()
