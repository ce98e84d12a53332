"""CloudEvents 1.0 to plain events: structured and batch JSON, and binary mode by headers."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from streams import envelopes
from streams.errors import InputError

CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
MARK = b'"specversion"'


class CloudEvent(msgspec.Struct, gc=False):
    """The attributes that Penstock reads; `data` is the event without its type."""

    specversion: str
    type: str
    id: str = ""
    source: str = ""
    time: str | None = None
    subject: str | None = None
    traceparent: str | None = None
    data: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(CloudEvent)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


def plain(line: bytes) -> bytes:
    """The plain event inside a structured CloudEvent, on one line.

    Attributes fill what `data` leaves open: type always, time, subject (the model), id (as
    event_id) and traceparent. Raises InputError or msgspec.DecodeError.
    """
    event = _decoder.decode(line)
    if not bytes(event.data):
        raise InputError("the CloudEvent has no JSON data", field="data", rule="missing_field")
    return _merged(
        bytes(event.data),
        {
            "type": event.type,
            "time": event.time,
            "model": event.subject,
            "event_id": event.id[:100] or None,
            "traceparent": event.traceparent,
        },
    )


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether these HTTP headers carry a CloudEvent in binary mode."""
    return "ce-specversion" in headers


def from_headers(headers: Mapping[str, str], body: bytes) -> bytes:
    """The plain event of a binary-mode CloudEvent: attributes in ce-* headers, data in the body.

    Kafka spells the prefix `ce_`; callers pass lower-case names with `ce-`. A body that is not
    an object comes back as it is, for the decoder to say why.
    """
    named = {
        name: unquote(headers.get(f"ce-{name}", ""))
        for name in ("type", "time", "subject", "id", "traceparent")
    }
    try:
        return _merged(
            envelopes.one_line(body),
            {
                "type": named["type"] or None,
                "time": named["time"] or None,
                "model": named["subject"] or None,
                "event_id": named["id"][:100] or None,
                "traceparent": named["traceparent"] or headers.get("traceparent"),
            },
        )
    except (ValueError, RecursionError):
        return envelopes.one_line(body)


def _merged(data: bytes, attributes: Mapping[str, str | None]) -> bytes:
    fields: dict[str, Any] = {}
    given = _object.decode(data)
    for name, value in attributes.items():
        if value is not None and (name == "type" or name not in given):
            fields[name] = value
    fields.update((name, value) for name, value in given.items() if name not in fields)
    return _encoder.encode(fields)
