"""From a body to what goes into the log: pure, so that it can run in any thread.

Good events are kept as the bytes that were sent, by partition. Bad ones become `Rejected` for
the answer and a `Refused` line for the log. One bad event never costs its neighbours.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from penstock.web.problems import Problem
from streams import cloudevents, codec
from streams.codec import Bad
from streams.errors import InputError
from streams.events import (
    AnyEvent,
    Assigned,
    Fault,
    Feedback,
    Label,
    OutcomeMissing,
    Prediction,
    Refused,
    routing_key,
)
from streams.hashing import partition_of
from streams.keys import Principal
from streams.unknown import unknown_fields

UNREADABLE = frozenset(("malformed_json", "bad_encoding", "too_deep"))
SMALL_BATCH = 10
SAMPLED = 100


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """One event that was not taken, as the answer names it."""

    index: int
    id: str
    code: str
    field: str
    detail: str
    retryable: bool = False


class Warning(msgspec.Struct, frozen=True, gc=False):
    """Something that was taken but is perhaps not what was meant."""

    code: str
    field: str
    count: int
    detail: str


class Batch(msgspec.Struct):
    """What one body held. `by_partition` are the lines to append, `models` whose they are."""

    events: int
    by_partition: dict[int, list[bytes]]
    models: Mapping[str, int]
    rejected: list[Rejected]
    refused: list[bytes]
    warnings: list[Warning]


def split(body: bytes, headers: Mapping[str, str], max_events: int) -> list[bytes]:
    """The events of a body, undecoded; raises Problem when there are none, or too many."""
    if cloudevents.is_binary(headers):
        return [cloudevents.from_headers(headers, body)]
    try:
        lines = codec.split(body)[1]
    except InputError as error:
        raise Problem("unreadable-body", error.message) from error
    if not lines:
        raise Problem("empty-body")
    if len(lines) > max_events:
        raise Problem("too-many-events", f"{len(lines)} events; at most {max_events} are taken")
    return lines


def read(
    lines: list[bytes],
    principal: Principal,
    partitions: int,
    *,
    strict: bool = False,
    look_closer: bool = False,
) -> Batch:
    """What `lines` hold for `principal`.

    Unknown fields are refused when `strict`; else they are named in `warnings` for a small batch,
    and for a large one when told to `look_closer`, because looking reads each event again.
    """
    decoded = codec.decode(lines)
    events, kept, indexes = decoded.events, decoded.lines, decoded.indexes
    bad = decoded.bad
    warnings: list[Warning] = []
    if strict or look_closer or len(lines) <= SMALL_BATCH:
        unknown = [unknown_fields(line) for line in kept]
        if strict:
            faults = [_unknown_fault(names) for names in unknown]
            events, kept, indexes, bad = _without(faults, events, kept, indexes, bad)
        else:
            warnings = _unknown_warnings(unknown)
    models = Counter([event.model for event in events])
    if not _all_allowed(principal, set(map(type, events)), models):
        faults = [_right_fault(event, principal) for event in events]
        events, kept, indexes, bad = _without(faults, events, kept, indexes, bad)
        models = Counter([event.model for event in events])
    return Batch(
        len(events),
        _by_partition(events, kept, partitions),
        models,
        [Rejected(b.index, b.id, b.fault.code, b.fault.field, b.fault.detail) for b in bad],
        [_refused(b) for b in bad],
        warnings,
    )


def _by_partition(
    events: Sequence[AnyEvent], lines: Sequence[bytes], partitions: int
) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for event, line in zip(events, lines, strict=True):
        if type(event) is Prediction:
            key = event.join_key or event.prediction_id
        else:
            key = routing_key(event)
        partition = partition_of(event.model, key, partitions)
        if partition in found:
            found[partition].append(line)
        else:
            found[partition] = [line]
    return found


def _without(
    faults: Sequence[Fault | None],
    events: list[AnyEvent],
    lines: list[bytes],
    indexes: Sequence[int],
    bad: list[Bad],
) -> tuple[list[AnyEvent], list[bytes], Sequence[int], list[Bad]]:
    """The same without those events that have a fault; they join the bad, in order."""
    if not any(faults):
        return events, lines, indexes, bad
    more = [
        Bad(indexes[k], fault, codec.id_of(events[k]), lines[k][: codec.MAX_RAW_BYTES])
        for k, fault in enumerate(faults)
        if fault is not None
    ]
    good = [k for k, fault in enumerate(faults) if fault is None]
    return (
        [events[k] for k in good],
        [lines[k] for k in good],
        [indexes[k] for k in good],
        sorted(bad + more, key=lambda b: b.index),
    )


_SCOPES: dict[type[Any], tuple[str, ...]] = {
    Prediction: ("events:write",),
    Feedback: ("events:write",),
    Assigned: ("events:write",),
    OutcomeMissing: ("events:write", "labels:write"),
    Label: ("labels:write",),
}


def _all_allowed(
    principal: Principal, kinds: Collection[type[Any]], models: Collection[str]
) -> bool:
    """Whether the key may send every event of these types about these models."""
    return all(map(principal.sees, models)) and all(
        any(map(principal.may, _SCOPES[kind])) for kind in kinds
    )


def _right_fault(event: AnyEvent, principal: Principal) -> Fault | None:
    """Why this key may not send this event."""
    if not principal.sees(event.model):
        return Fault("not_allowed", "model", f"the key is not bound to model {event.model!r}")
    scopes = _SCOPES[type(event)]
    if not any(map(principal.may, scopes)):
        return Fault("not_allowed", "type", f"the key lacks the scope {' or '.join(scopes)}")
    return None


def _unknown_fault(names: Sequence[str]) -> Fault | None:
    if not names:
        return None
    return Fault("unknown_field", names[0], f"not a field of this event: {', '.join(names)[:200]}")


def _unknown_warnings(unknown: Sequence[Sequence[str]]) -> list[Warning]:
    counts = Counter(name for names in unknown for name in names)
    return [
        Warning("unknown_field", name, count, "accepted, but nothing reads it")
        for name, count in counts.most_common(20)
    ]


_encoder = msgspec.json.Encoder()


def _refused(bad: Bad) -> bytes:
    return _encoder.encode(
        Refused(
            code=bad.fault.code,
            field=bad.fault.field,
            detail=bad.fault.detail,
            index=bad.index,
            raw=bad.raw.decode(errors="replace"),
        )
    )
