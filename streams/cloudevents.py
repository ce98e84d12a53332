"""CloudEvents 1.0 to plain events: structured and batch JSON, and binary mode by headers."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from streams import envelopes
from streams.errors import InputError

CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
STRUCTURED = b"application/cloudevents"  # how the content types of both JSON forms begin
ATTRIBUTES = ("type", "time", "subject", "id", "traceparent")
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
    """The plain event of a binary-mode CloudEvent by HTTP, its header names in lower case.

    A body that is not an object comes back as it is, for the decoder to say why.
    """
    attributes = {name: unquote(headers.get(f"ce-{name}", "")) for name in ATTRIBUTES}
    attributes["traceparent"] = attributes["traceparent"] or headers.get("traceparent", "")
    return _of_binary(attributes, body)


def from_record(headers: Iterable[tuple[str, bytes | None]], value: bytes) -> bytes:
    """The plain event of a record on Kafka: a CloudEvent in binary mode, or what the value says.

    With ce_specversion among the headers the attributes are in them, as UTF-8, and the data in the
    value, unless the content type says that the value is a CloudEvent as a whole. What cannot be
    read comes back for the decoder to say why.
    """
    given = {name.lower(): text or b"" for name, text in headers}
    is_whole = given.get("content-type", b"").lower().startswith(STRUCTURED)
    if is_whole or "ce_specversion" not in given:
        return value
    attributes = {}
    for name in ATTRIBUTES:
        said = given.get(f"ce_{name}", b"")
        try:
            attributes[name] = said.decode()
        except UnicodeDecodeError:
            return b" ".join((f"ce_{name}".encode(), said, envelopes.one_line(value)))
    return _of_binary(attributes, value)


def _of_binary(attributes: Mapping[str, str], body: bytes) -> bytes:
    data = envelopes.one_line(body)
    try:
        return _merged(
            data,
            {
                "type": attributes["type"] or None,
                "time": attributes["time"] or None,
                "model": attributes["subject"] or None,
                "event_id": attributes["id"][:100] or None,
                "traceparent": attributes["traceparent"] or None,
            },
        )
    except (ValueError, RecursionError):
        return data


def _merged(data: bytes, attributes: Mapping[str, str | None]) -> bytes:
    fields: dict[str, Any] = {}
    given = _object.decode(data)
    for name, value in attributes.items():
        if value is not None and (name == "type" or name not in given):
            fields[name] = value
    fields.update((name, value) for name, value in given.items() if name not in fields)
    return _encoder.encode(fields)
