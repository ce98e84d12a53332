"""Bytes to events: one decoder for every way an event may arrive.

    split(value)   -> lines     single, array, JSON Lines, envelope, CloudEvents
    decode(lines)  -> Decoded   the good events, and a fault for each bad one

One bad event never costs its neighbours: a batch is decoded in one sweep, and only when that
fails, or when the bytes hold something that needs a closer look, event by event.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from streams import cloudevents, envelopes
from streams.errors import InputError
from streams.events import (
    ID_CHARACTERS,
    MAX_EVENT_BYTES,
    TYPES,
    AnyEvent,
    Fault,
    Prediction,
    Refused,
    rule_fault,
)

MAX_RAW_BYTES = 2048  # of a bad event, kept for the person who repairs it
_decoder = msgspec.json.Decoder(AnyEvent)
_log_decoder = msgspec.json.Decoder(AnyEvent | Refused)
_array = msgspec.json.Decoder(list[msgspec.Raw])


class Bad(msgspec.Struct, frozen=True, gc=False):
    """An event that cannot be taken, by its index in what was sent."""

    index: int
    fault: Fault
    id: str  # of the event, where one could be read
    raw: bytes  # cut to MAX_RAW_BYTES


class Decoded(msgspec.Struct, gc=False):
    """What one body or log record held.

    `events[k]` stood at `indexes[k]` and is `lines[k]` in plain form.
    """

    events: list[AnyEvent]
    indexes: Sequence[int]
    lines: list[bytes]
    bad: list[Bad]
    header: envelopes.Header = envelopes.Header()


def split(value: bytes) -> tuple[envelopes.Header, list[bytes]]:
    """The events in `value`, one a line, undecoded; the first bytes tell the form.

    Raises InputError when the whole is unreadable (a broken array or envelope header).
    """
    body = value.lstrip() if value[:1].isspace() else value
    try:
        if body.startswith(envelopes.MAGIC):
            return envelopes.unpack(body)
        if body.startswith(b"["):
            return envelopes.Header(), [
                envelopes.one_line(bytes(raw)) for raw in _array.decode(body)
            ]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"the batch is not readable: {_reason(error)}", field="", rule="malformed_json"
        ) from error
    if b"\n" not in body.strip():
        return envelopes.Header(), [body.strip()] if body.strip() else []
    return envelopes.Header(), _several_lines(body)


def _several_lines(body: bytes) -> list[bytes]:
    """JSON Lines, or one event printed over several lines when its first line is no whole value."""
    lines = [line for line in body.splitlines() if line.strip()]
    try:
        msgspec.json.decode(lines[0], type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        whole = envelopes.one_line(body)
        try:
            msgspec.json.decode(whole, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError):
            return lines
        return [whole]
    return lines


def decode(lines: list[bytes], *, header: envelopes.Header = envelopes.Header()) -> Decoded:  # noqa: B008 - frozen
    """Events from outside: only the public types, Penstock's own fields refused."""
    return _decode(lines, _decoder.decode, header, closer=_outside_fault)


def decode_record(value: bytes) -> tuple[Decoded, list[tuple[int, Refused]]]:
    """Events of one log record, and what ingest refused on the way (with its index)."""
    try:
        header, lines = split(value)
    except InputError as error:
        bad = Bad(0, Fault("malformed_json", "", error.message), "", value[:MAX_RAW_BYTES])
        return Decoded([], [], [], [bad]), []
    decoded = _decode(lines, _log_decoder.decode, header, closer=rule_fault)
    if not any(type(event) is Refused for event in decoded.events):
        return decoded, []
    refused = [
        (index, event)
        for index, event in zip(decoded.indexes, decoded.events, strict=True)
        if isinstance(event, Refused)
    ]
    kept = [k for k, event in enumerate(decoded.events) if type(event) is not Refused]
    decoded.lines = [decoded.lines[k] for k in kept]
    decoded.indexes = [decoded.indexes[k] for k in kept]
    decoded.events = [decoded.events[k] for k in kept]
    return decoded, refused


def _decode(
    lines: list[bytes],
    read: Callable[[bytes], Any],
    header: envelopes.Header,
    *,
    closer: Callable[[AnyEvent], Fault | None],
) -> Decoded:
    try:
        events = [read(line) for line in lines]
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return _one_by_one(lines, read, header, closer)
    if lines and (_needs_closer_look(lines) or not _plainly_good(events)):
        return _one_by_one(lines, read, header, closer)
    return Decoded(events, range(len(events)), lines, [], header)


def _needs_closer_look(lines: list[bytes]) -> bool:
    """Whether a line is too long, or may hold a control character or a field of our own.

    JSON writes control characters with a backslash, but for DEL and C1 (0x7f, 0xc2 0x80-0x9f).
    """
    whole = b"\n".join(lines)
    return (
        b"\\" in whole
        or b"\x7f" in whole
        or b"\xc2" in whole
        or b'"audit":' in whole
        or b'"blind":' in whole
        or (len(whole) > MAX_EVENT_BYTES and max(map(len, lines)) > MAX_EVENT_BYTES)
    )


def _plainly_good(events: list[Any]) -> bool:
    """True only if no event breaks a rule; False sends the batch through the exact rules."""
    ids = []
    for event in events:
        if type(event) is Prediction:
            output = event.output
            if output is None:
                if event.error is None:
                    return False
            elif event.error is not None or (
                output.label is None and output.score is None and output.value is None
            ):
                return False
            ids.append(event.prediction_id)
        elif type(event) is Refused or rule_fault(event) is not None:
            return False
    try:
        return not "".join(ids).encode("ascii").translate(None, ID_CHARACTERS)
    except UnicodeEncodeError:
        return False


def _one_by_one(
    lines: list[bytes],
    read: Callable[[bytes], Any],
    header: envelopes.Header,
    closer: Callable[[AnyEvent], Fault | None],
) -> Decoded:
    decoded = Decoded([], [], [], [], header)
    indexes: list[int] = []
    for index, line in enumerate(lines):
        event, plain, fault = _one(line, read)
        if fault is None and type(event) is not Refused:
            fault = closer(event)
        if fault is None:
            decoded.events.append(event)
            decoded.lines.append(plain)
            indexes.append(index)
        else:
            decoded.bad.append(Bad(index, fault, id_of(event), line[:MAX_RAW_BYTES]))
    decoded.indexes = indexes
    return decoded


def _one(line: bytes, read: Callable[[bytes], Any]) -> tuple[Any, bytes, Fault | None]:
    if len(line) > MAX_EVENT_BYTES:
        return (
            None,
            line,
            Fault(
                "oversized_event", "", f"{len(line)} bytes; an event is at most {MAX_EVENT_BYTES}"
            ),
        )
    try:
        if cloudevents.MARK in line:
            line = _unwrapped(line)
        return read(line), line, None
    except InputError as error:
        return None, line, Fault(error.rule, error.field, error.message)
    except (ValueError, RecursionError) as error:
        return None, line, fault_of(error)


def _unwrapped(line: bytes) -> bytes:
    """The plain event of a CloudEvent; a plain event that only mentions the word stays as it is."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return line
    return cloudevents.plain(line) if "specversion" in fields and "model" not in fields else line


def fault_of(error: Exception) -> Fault:
    """What msgspec said, as a code, the field it names and the rule."""
    if isinstance(error, RecursionError):
        return Fault("too_deep", "", "nested too deeply to read")
    if isinstance(error, UnicodeDecodeError):
        return Fault(
            "bad_encoding", "", f"not UTF-8: {error.reason} at byte {error.start} of a string"
        )
    reason = str(error)
    if not isinstance(error, msgspec.ValidationError):
        code = "bad_encoding" if "surrogate" in reason else "malformed_json"
        return Fault(code, "", reason)
    rule, _, place = reason.partition(" - at `")
    field = place.rstrip("`").removeprefix("$").removeprefix(".")
    return Fault(_code(rule, field), _missing_field(rule) or field, _explained(rule, field))


def _code(rule: str, field: str) -> str:
    if "missing required field" in rule:
        return "missing_field"
    if field == "type" and rule.startswith("Invalid value"):
        return "unknown_type"
    if (
        "<=" in rule
        or ">=" in rule
        or "length" in rule
        or "out of range" in rule
        or "timezone" in rule
    ):
        return "out_of_range"
    return "wrong_type" if rule.startswith("Expected") else "invalid_value"


def _missing_field(rule: str) -> str:
    return rule.split("`")[1] if "missing required field" in rule else ""


def _explained(rule: str, field: str) -> str:
    if field == "type" and rule.startswith("Invalid value"):
        return f"{rule}; known types are {', '.join(TYPES)}"
    return rule.replace("`", "")


def _outside_fault(event: AnyEvent) -> Fault | None:
    for field in ("audit", "blind"):
        if getattr(event, field, None) is not None:
            return Fault("reserved_field", field, f"{field} is set by Penstock alone")
    return rule_fault(event)


def id_of(event: AnyEvent | None) -> str:
    """The id that its sender knows an event by, or an empty string."""
    for field in ("prediction_id", "label_id", "feedback_id", "instance"):
        value = getattr(event, field, None)
        if value:
            return str(value)
    return ""


def _reason(error: Exception) -> str:
    return "nested too deeply to read" if isinstance(error, RecursionError) else str(error)


def unknown_fields(line: bytes) -> list[str]:
    """Names in a plain event that its type does not define, dotted, sorted.

    Slower than decoding (it reads the line a second time), so callers look at a sample.
    """
    try:
        value = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return []
    kind = TYPES.get(value.get("type", "")) if isinstance(value, dict) else None
    return sorted(_unknown(value, kind, "")) if kind is not None else []


_NESTED = {"output": "output.", "error": "error."}


def _unknown(value: Mapping[str, Any], kind: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for name, inner in value.items():
        if name == "type" and not prefix:
            continue
        if name not in types:
            yield prefix + name
        elif not prefix and name in _NESTED and isinstance(inner, dict):
            struct = next(
                (
                    arm
                    for arm in getattr(types[name], "__args__", ())
                    if hasattr(arm, "__struct_fields__")
                ),
                None,
            )
            if struct is not None:
                yield from _unknown(inner, struct, _NESTED[name])
