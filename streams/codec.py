"""Bytes to events: one decoder for every way an event may arrive.

    split(value)   -> lines     single, array, JSON Lines, envelope, CloudEvents
    decode(lines)  -> Decoded   the good events, and a fault for each bad one

One bad event never costs its neighbours: a batch is decoded in one sweep, and only when that
fails, or when the bytes hold something that needs a closer look, event by event.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from streams import cloudevents, envelopes
from streams.errors import InputError
from streams.events import (
    MAX_EVENT_BYTES,
    MAX_TEXT_BYTES,
    AnyEvent,
    Fault,
    Output,
    Prediction,
    Refused,
)
from streams.faults import fault_of
from streams.rules import ID_CHARACTERS, clean_fault, has_fit_names, rule_fault

MAX_ID = 200
MAX_BROKEN_BYTES = 1 << 20  # of an array that is searched for what can be read in it
MAX_RECORD_EVENTS = 50_000  # far beyond any envelope; else one record of commas takes minutes
MAX_RAW_BYTES = 2048  # of a bad event, kept for the person who repairs it
_decoder = msgspec.json.Decoder(AnyEvent)
_log_decoder = msgspec.json.Decoder(AnyEvent | Refused)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},]', re.DOTALL)


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

    Raises InputError when the whole is unreadable: an envelope's header, UTF-16, or a broken
    array larger than MAX_BROKEN_BYTES.
    """
    if value.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("this is UTF-16; events are UTF-8", rule="bad_encoding")
    body = value.removeprefix(b"\xef\xbb\xbf").strip()
    if body.startswith(envelopes.MAGIC):
        return envelopes.unpack(body)
    if body.startswith(b"["):
        return envelopes.Header(), [envelopes.one_line(element) for element in _elements(body)]
    if b"\n" not in body and b"\r" not in body:
        return envelopes.Header(), [body] if body else []
    return envelopes.Header(), _several_lines(body)


def _elements(body: bytes) -> list[bytes]:
    """The elements of an array; of a broken one, what stands between its own commas.

    So a broken element costs only itself, unless it leaves a string or a bracket open.
    """
    try:
        return [bytes(raw) for raw in _array.decode(body)]
    except (ValueError, RecursionError) as error:
        if len(body) > MAX_BROKEN_BYTES:
            raise InputError(
                f"the array is not readable: {fault_of(error).detail}", rule="malformed_json"
            ) from error
    elements: list[bytes] = []
    depth, start = 0, 1
    for mark in _STRUCTURE.finditer(body):
        match body[mark.start()]:
            case 0x5B | 0x7B:  # [ {
                depth += 1
            case 0x5D | 0x7D:  # ] }
                depth -= 1
            case 0x2C if depth == 1:  # ,
                elements.append(body[start : mark.start()])
                start = mark.end()
        if depth == 0:
            after = body[mark.end() :]
            last = [body[start : mark.start()], after]
            return elements + [part for part in last if part.strip()]
    return [*elements, body[start:]]


def _several_lines(body: bytes) -> list[bytes]:
    """JSON Lines, or one event printed over several lines when its first line is no whole value."""
    lines = [line for line in body.splitlines() if line.strip()]
    if not _is_json(lines[0]) and _is_json(body):
        return [envelopes.one_line(body)]
    return lines


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True


def decode(lines: list[bytes], *, header: envelopes.Header = envelopes.Header()) -> Decoded:  # noqa: B008 - frozen
    """Events from outside: only the public types, Penstock's own fields refused."""
    return _decode(lines, _decoder.decode, header)


def decode_record(value: bytes) -> tuple[Decoded, list[tuple[int, Refused]]]:
    """Events of one log record, and what ingest refused on the way (with its index).

    A service may have written it to Kafka itself, so it is trusted no more than a body.
    """
    try:
        header, lines = split(value)
        if not lines and not value.startswith(envelopes.MAGIC):
            raise InputError("the record holds no event", rule="empty_record")
        if len(lines) > MAX_RECORD_EVENTS:
            raise InputError(
                f"{len(lines)} events; a record holds at most {MAX_RECORD_EVENTS}",
                rule="too_many_events",
            )
    except InputError as error:
        fault = Fault(error.rule, error.field, error.message)
        bad = Bad(0, fault, "", value[:MAX_RAW_BYTES])
        return Decoded([], [], [], [bad]), []
    decoded = _decode(lines, _log_decoder.decode, header)
    events: list[Any] = decoded.events
    if Refused not in set(map(type, events)):
        return decoded, []
    kept = [k for k, event in enumerate(events) if type(event) is not Refused]
    refused = [
        (index, event)
        for index, event in zip(decoded.indexes, events, strict=True)
        if type(event) is Refused
    ]
    decoded.lines = [decoded.lines[k] for k in kept]
    decoded.indexes = [decoded.indexes[k] for k in kept]
    decoded.events = [events[k] for k in kept]
    return decoded, refused


def _decode(lines: list[bytes], read: Callable[[bytes], Any], header: envelopes.Header) -> Decoded:
    try:
        events = [read(line) for line in lines]
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return _one_by_one(lines, read, header)
    if lines and (_needs_closer_look(lines) or not _plainly_good(events)):
        return _one_by_one(lines, read, header)
    return Decoded(events, range(len(events)), lines, [], header)


def _needs_closer_look(lines: list[bytes]) -> bool:
    """Whether a line is too long, or may hold a control character or text that is not UTF-8.

    JSON writes control characters with a backslash, but for DEL and C1 (0x7f, 0xc2 0x80-0x9f).
    msgspec does not look into the strings of fields that it skips.
    """
    whole = b"\n".join(lines)
    return (
        b"\\" in whole
        or b"\x7f" in whole
        or (not whole.isascii() and (b"\xc2" in whole or not _is_utf8(whole)))
        or (len(whole) > MAX_EVENT_BYTES and max(map(len, lines)) > MAX_EVENT_BYTES)
    )


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _plainly_good(events: list[Any]) -> bool:
    """True only if no event breaks a rule; False sends the batch through the exact rules.

    For a plain prediction this is a shortcut of `rule_fault`, which names the rule. Names are not
    looked at: the bytes of all events hold no control character (`_needs_closer_look`).
    """
    ids = []
    for event in events:
        if type(event) is Prediction:
            output, features = event.output, event.features
            if (
                output is None
                or (output.score is None and output.label is None and not _has_answer(output))
                or (output.text is not None and len(output.text) > MAX_TEXT_BYTES // 4)
                or event.error is not None
                or event.inputs is not None
                or not (isinstance(event.time, int) or 1971 <= event.time.year <= 2098)
                or (features is not None and not has_fit_names(features))
            ):
                return False
            ids.append(event.prediction_id)
        elif type(event) is Refused or _reserved_fault(event) or clean_fault(event):
            return False
    try:
        return not "".join(ids).encode("ascii").translate(None, ID_CHARACTERS)
    except UnicodeEncodeError:
        return False


def _has_answer(output: Output) -> bool:
    """Whether one that has neither score nor label has another answer."""
    return (
        output.value is not None
        or output.scores is not None
        or output.boxes is not None
        or output.text is not None
    )


def _one_by_one(
    lines: list[bytes],
    read: Callable[[bytes], Any],
    header: envelopes.Header,
) -> Decoded:
    decoded = Decoded([], [], [], [], header)
    indexes: list[int] = []
    for index, line in enumerate(lines):
        event, plain, fault = _one(line, read)
        if fault is None and type(event) is not Refused:
            fault = _reserved_fault(event) or rule_fault(event)
        if fault is None:
            decoded.events.append(event)
            decoded.lines.append(plain)
            indexes.append(index)
        else:
            decoded.bad.append(Bad(index, fault, id_of(event, plain), line[:MAX_RAW_BYTES]))
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
        line.decode()
        if cloudevents.MARK in line:
            line = _unwrapped(line)
        return read(line), line, None
    except InputError as error:
        return None, line, Fault(error.rule, error.field, error.message)
    except (ValueError, RecursionError) as error:
        return None, line, fault_of(error, line)


def _unwrapped(line: bytes) -> bytes:
    """The plain event of a CloudEvent; a plain event that only mentions the word stays as it is."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return line
    return cloudevents.plain(line) if "specversion" in fields and "model" not in fields else line


def _reserved_fault(event: AnyEvent) -> Fault | None:
    for field in ("audit", "blind"):
        if getattr(event, field, None) is not None:
            return Fault("reserved_field", field, f"{field} is set by Penstock alone")
    return None


class _Ids(msgspec.Struct, gc=False):
    prediction_id: Any = None
    label_id: Any = None
    feedback_id: Any = None
    instance: Any = None


_ids = msgspec.json.Decoder(_Ids)


def id_of(event: AnyEvent | None, line: bytes = b"") -> str:
    """The id that its sender knows an event by, read from `line` where it could not be decoded."""
    named: object = event
    if event is None:
        try:
            named = _ids.decode(line[:MAX_EVENT_BYTES])
        except (ValueError, RecursionError):
            return ""
    for field in ("prediction_id", "label_id", "feedback_id", "instance"):
        value = getattr(named, field, None)
        if isinstance(value, str) and value:
            return value[:MAX_ID]
    return ""
