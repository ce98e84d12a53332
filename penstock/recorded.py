"""Recorded events of one model, from this installation's log or from files."""

import heapq
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from penstock.tailing import until
from streams import codec
from streams.errors import InputError
from streams.events import AnyEvent, time_ms
from streams.logs.base import Bounds, Log, Record
from streams.topics import EVENTS

_LINES = 1_000


class Read(Struct):
    """How far reading has come, of `total` records or bytes; and what could not be read."""

    done: int = 0
    total: int = 0
    bad: int = 0
    first_bad: str = ""


def from_log(log: Log, *, model: str, since_ms: int, read: Read) -> Iterator[AnyEvent]:
    """What was appended since then: each partition in its order, all of them in that of time."""
    bounds = log.bounds(EVENTS.name)
    read.total = sum(each.end - each.begin for each in bounds.values())
    parts = [
        _of_model(_partition(log, partition, each), model, since_ms, read)
        for partition, each in bounds.items()
        if each.begin < each.end
    ]
    for _, events in heapq.merge(*parts, key=lambda part: part[0]):
        yield from events


def _of_model(
    records: Iterator[Record], model: str, since_ms: int, read: Read
) -> Iterator[tuple[int, list[AnyEvent]]]:
    """The newest event time so far, with the events of each record."""
    newest_ms = 0
    for record in records:
        read.done += 1
        if record.appended_ms < since_ms:
            continue
        decoded, _ = codec.decode_record(record.value)
        events = [event for event in decoded.events if event.model == model]
        if events:
            newest_ms = max(newest_ms, *(time_ms(event.time) for event in events))
            yield newest_ms, events


def from_files(paths: list[Path], *, model: str, read: Read) -> Iterator[AnyEvent]:
    """Events as JSON Lines, file after file. Raises InputError for one that is not there."""
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} is no file", field="--events", fix="JSON Lines of events")
    read.total = sum(path.stat().st_size for path in paths)
    for path in paths:
        with path.open("rb") as file:
            number = 0
            while lines := [line for _, line in zip(range(_LINES), file, strict=False)]:
                read.done += sum(map(len, lines))
                decoded = codec.decode(lines)
                for bad in decoded.bad:
                    read.bad += 1
                    read.first_bad = read.first_bad or (
                        f"{path.name}, line {number + bad.index + 1}: "
                        f"{bad.fault.field}: {bad.fault.detail}"
                    )
                number += len(lines)
                yield from (event for event in decoded.events if event.model == model)


def _partition(log: Log, partition: int, held: Bounds) -> Iterator[Record]:
    """The records that one partition holds now."""
    reader = log.reader(EVENTS.name, group=None)
    try:
        reader.seek(partition, held.begin)
        yield from until(reader, {partition: held.begin}, {partition: held})
    finally:
        reader.close()
