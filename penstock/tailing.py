"""Events as they stand in the log, with their places."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from streams import codec
from streams.events import PREFIX, AnyEvent
from streams.logs.base import Bounds, GapError, Log, Reader, Record
from streams.topics import EVENTS

POLL_BYTES = 1 << 20
POLL_S = 0.5


class Seen(msgspec.Struct, frozen=True):
    """An event and its place, or what could not be read there."""

    place: str  # partition@offset.index
    appended_ms: int
    type: str
    model: str
    id: str
    version: str
    event: dict[str, Any]

    def text(self) -> str:
        """One line for a terminal."""
        said = self.event.get("output") or self.event.get("error") or _truth(self.event)
        version = f" {self.version}" if self.version else ""
        return f"{self.place}  {self.type:<15} {self.model}{version}  {self.id}  {_short(said)}"


def recent(log: Log, *, count: int, model: str | None = None) -> list[Seen]:
    """The newest `count` events in the order in which they were appended."""
    back = 1
    while True:
        bounds = log.bounds(EVENTS.name)
        starts = {p: max(b.begin, b.end - back) for p, b in bounds.items()}
        reader = log.reader(EVENTS.name, group=None)
        try:
            for partition, start in starts.items():
                reader.seek(partition, start)
            found = [
                seen for record in until(reader, starts, bounds) for seen in _seen(record, model)
            ]
        finally:
            reader.close()
        if len(found) >= count or all(starts[p] == b.begin for p, b in bounds.items()):
            found.sort(key=lambda seen: seen.appended_ms)
            return found[-count:] if count else []
        back *= 8


def follow(log: Log, *, model: str | None = None) -> Iterator[Seen]:
    """Every event that is appended from now on, without end."""
    reader = log.reader(EVENTS.name, group=None)
    for partition, bounds in log.bounds(EVENTS.name).items():
        reader.seek(partition, bounds.end)
    try:
        while True:
            for record in _poll(reader):
                yield from _seen(record, model)
    finally:
        reader.close()


def until(
    reader: Reader, starts: Mapping[int, int], bounds: Mapping[int, Bounds]
) -> Iterator[Record]:
    """What lies between `starts` and the ends of `bounds`."""
    left = {partition for partition, start in starts.items() if start < bounds[partition].end}
    while left:
        try:
            records = reader.poll(max_bytes=POLL_BYTES, timeout_s=POLL_S)
        except GapError as gap:
            reader.seek(gap.partition, gap.begin)
            if gap.begin >= bounds[gap.partition].end:
                left.discard(gap.partition)
            continue
        for record in records:
            end = bounds[record.partition].end
            if record.offset < end:
                yield record
            if record.offset + 1 >= end:
                left.discard(record.partition)


def _poll(reader: Reader) -> list[Record]:
    try:
        return reader.poll(max_bytes=POLL_BYTES, timeout_s=POLL_S)
    except GapError as gap:
        reader.seek(gap.partition, gap.begin)
        return []


def _seen(record: Record, model: str | None) -> Iterator[Seen]:
    decoded, refused = codec.decode_record(record.value)
    for index, event, line in zip(decoded.indexes, decoded.events, decoded.lines, strict=True):
        if model is None or event.model == model:
            yield _event(record, index, event, msgspec.json.decode(line))
    if model is None:
        for index, reject in refused:
            yield _reject(record, index, reject.code, reject.detail, reject.raw)
        for bad in decoded.bad:
            raw = bad.raw.decode(errors="replace")
            yield _reject(record, bad.index, bad.fault.code, bad.fault.detail, raw)


def _event(record: Record, index: int, event: AnyEvent, fields: dict[str, Any]) -> Seen:
    kind = str(fields.get("type", "")).removeprefix(PREFIX).removesuffix(".v1")
    return Seen(
        _place(record, index),
        record.appended_ms,
        kind,
        event.model,
        codec.id_of(event),
        getattr(event, "version", ""),
        fields,
    )


def _reject(record: Record, index: int, code: str, detail: str, raw: str) -> Seen:
    said = {"error": {"type": code, "message": detail}, "raw": raw}
    return Seen(_place(record, index), record.appended_ms, "rejected", "-", "", "", said)


def _place(record: Record, index: int) -> str:
    return f"{record.partition}@{record.offset}.{index}"


def _truth(fields: dict[str, Any]) -> dict[str, Any]:
    names = ("label", "value", "text", "reason", "assigned", "answered", "dropped")
    return {name: fields[name] for name in names if name in fields}


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else text[:117] + "..."
