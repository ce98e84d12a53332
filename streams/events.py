"""The five event types that services send, exactly as `events.md` freezes them.

Types, ranges and lengths are checked by msgspec while it decodes; the few rules that a type
cannot say (id alphabet, control characters, exactly one of output and error) are in `faults`.
Unknown fields are accepted: a client may be newer than the server.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

PREFIX = "io.penstock."
MAX_EVENT_BYTES = 32 * 1024
MAX_TEXT_BYTES = 16 * 1024
LAST_TIME_MS = 4_102_444_799_999  # the last of 2099

Name = Annotated[
    str, Meta(min_length=1, max_length=120, description="1-120 characters, no control characters")
]
Id = Annotated[str, Meta(min_length=1, max_length=200, description="1-200 of A-Z a-z 0-9 . _ : -")]
Key = Annotated[str, Meta(min_length=1, max_length=200, description="1-200 characters")]
Share = Annotated[float, Meta(ge=0, le=1)]
Millis = Annotated[float, Meta(ge=0, le=86_400_000, description="milliseconds")]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Time = (
    Annotated[int, Meta(ge=0, le=LAST_TIME_MS, description="milliseconds UTC, before 2100")]
    | Annotated[datetime, Meta(tz=True, description="RFC 3339 with offset")]
)
Text = Annotated[str, Meta(max_length=MAX_TEXT_BYTES)]
MAX_FEATURES = 500
MAX_NAME = 120
# Names of features are checked by `rule_fault`: a constraint on the keys halves the speed of
# decoding, because msgspec then makes each key anew.
FEATURES = Meta(
    extra_json_schema={
        "maxProperties": MAX_FEATURES,
        "propertyNames": {"minLength": 1, "maxLength": MAX_NAME},
    }
)
Pixels = Annotated[float, Meta(ge=-1e6, le=1e6)]


class Box(Struct, gc=False, frozen=True):
    """One detected object; `box` is [x, y, width, height] in pixels."""

    label: Name
    box: tuple[Pixels, Pixels, Pixels, Pixels]
    score: Share | None = None


class Image(Struct, gc=False, frozen=True):
    """The size that boxes refer to, in pixels."""

    width: Annotated[int, Meta(gt=0, le=1_000_000)]
    height: Annotated[int, Meta(gt=0, le=1_000_000)]


Boxes = Annotated[list[Box], Meta(max_length=300)]


class Output(Struct, gc=False):
    """What a version answered: a class, a number, a text or boxes."""

    label: Name | None = None
    score: Share | None = None
    scores: Annotated[dict[Name, Share], Meta(min_length=1, max_length=1000)] | None = None
    threshold: Share | None = None
    scenario: Name | None = None
    value: float | None = None
    text: Text | None = None
    boxes: Boxes | None = None
    image: Image | None = None


class Failure(Struct, gc=False):
    """Why a version gave no answer."""

    type: Name
    message: Annotated[str, Meta(max_length=2048)] = ""


class Input(Struct, gc=False):
    """A reference to what the version saw; never followed at ingest."""

    name: Name
    media_type: Annotated[str, Meta(max_length=120)] | None = None
    uri: Text | None = None
    sha256: Annotated[str, Meta(min_length=64, max_length=64)] | None = None
    bytes: Count | None = None


class Event(Struct, gc=False, kw_only=True):
    """What every event carries."""

    model: Name
    time: Time
    event_id: Annotated[str, Meta(max_length=100)] | None = None
    traceparent: Annotated[str, Meta(max_length=120)] | None = None
    sample_rate: Share = 1.0


class Prediction(Event, gc=False, kw_only=True, tag_field="type", tag="io.penstock.prediction.v1"):
    """A version answered a request. Natural key: (model, prediction_id, version)."""

    prediction_id: Id
    version: Name
    route: Name = "default"
    role: Literal["live", "shadow", "proposed"] = "live"
    arm: Name | None = None
    route_version: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    unit_id: Key | None = None
    join_key: Key | None = None
    output: Output | None = None
    error: Failure | None = None
    latency_ms: Millis | None = None
    queue_ms: Millis | None = None
    features: Annotated[dict[str, bool | float | str | None], FEATURES] | None = None
    inputs: Annotated[list[Input], Meta(max_length=16)] | None = None
    tags: Annotated[dict[Name, Key], Meta(max_length=20)] | None = None


class Label(Event, gc=False, kw_only=True, tag_field="type", tag="io.penstock.label.v1"):
    """Truth about a request. Natural key: label_id. A null truth retracts what it supersedes."""

    label_id: Key
    source: Literal["outcome", "audit"] = "outcome"
    prediction_id: Id | None = None
    join_key: Key | None = None
    by_kind: Literal["human", "outcome", "llm", "code"] = "outcome"
    by: Name | None = None
    label: Name | None = None
    value: float | None = None
    text: Text | None = None
    boxes: Boxes | None = None
    confidence: Share | None = None
    explanation: Annotated[str, Meta(max_length=2048)] | None = None
    supersedes: Key | None = None
    audit: dict[str, str | float | bool | None] | None = None
    blind: bool | None = None


class Feedback(Event, gc=False, kw_only=True, tag_field="type", tag="io.penstock.feedback.v1"):
    """A reaction to a request, or by unit and route a business outcome. Key: feedback_id."""

    feedback_id: Key
    name: Name
    prediction_id: Id | None = None
    join_key: Key | None = None
    unit_id: Key | None = None
    route: Name | None = None
    value: float | None = None
    label: Name | None = None
    supersedes: Key | None = None


class OutcomeMissing(
    Event, gc=False, kw_only=True, tag_field="type", tag="io.penstock.outcome-missing.v1"
):
    """No truth will come from this source. Natural key: (model, prediction_id, source)."""

    prediction_id: Id
    source: Name
    reason: Literal["abandoned", "censored", "opted_out", "lost"] = "lost"
    join_key: Key | None = None


class Assigned(Event, gc=False, kw_only=True, tag_field="type", tag="io.penstock.assigned.v1"):
    """Cumulative counts of one client process, route version, arm and minute.

    Natural key: (instance, minute, model, route, route_version, arm); merged by maximum.
    """

    instance: Name
    minute: Annotated[int, Meta(ge=0, le=LAST_TIME_MS, description="its start, ms UTC")]
    route: Name = "default"
    route_version: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    arm: Name
    assigned: Count
    answered: Count
    dropped: Count


class Refused(Struct, gc=False, kw_only=True, tag_field="type", tag="io.penstock.refused.v1"):
    """What ingest could not take, on its way to the dead letters. Only ingest writes it."""

    code: str
    field: str
    detail: str
    index: int
    raw: str  # what was sent, cut to 2 KiB, undecodable bytes replaced


AnyEvent = Prediction | Label | Feedback | OutcomeMissing | Assigned
TYPES: dict[str, type[AnyEvent]] = {
    "io.penstock.prediction.v1": Prediction,
    "io.penstock.label.v1": Label,
    "io.penstock.feedback.v1": Feedback,
    "io.penstock.outcome-missing.v1": OutcomeMissing,
    "io.penstock.assigned.v1": Assigned,
}


class Fault(Struct, frozen=True, gc=False):
    """Why one event cannot be taken: a code to act on, the field, and the rule it breaks."""

    code: str
    field: str
    detail: str


_ID = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ID_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"


def rule_fault(event: AnyEvent) -> Fault | None:
    """The first rule beyond types, ranges and lengths that `event` breaks, or None."""
    pid = getattr(event, "prediction_id", None)
    if pid is not None and not _ID.fullmatch(pid):
        return Fault(
            "bad_id", "prediction_id", f"{pid[:60]!r} has characters other than A-Z a-z 0-9 . _ : -"
        )
    return _time_fault(event) or _name_fault(event) or _shape_fault(event)


def _time_fault(event: AnyEvent) -> Fault | None:
    """A spelled-out time has the limits of one in milliseconds."""
    if type(event.time) is not int and not 0 <= time_ms(event.time) <= LAST_TIME_MS:
        return Fault("out_of_range", "time", f"{event.time} is not between 1970 and 2100")
    return None


def _name_fault(event: AnyEvent) -> Fault | None:
    for field, text in _names(event):
        if text is not None and _CONTROL.search(text):
            return Fault("control_character", field, f"{text[:60]!r} holds a control character")
    for field in ("explanation", "event_id", "traceparent"):
        if "\0" in (getattr(event, field, None) or ""):
            return Fault("control_character", field, "NUL is refused everywhere")
    return None


def _names(event: AnyEvent) -> list[tuple[str, str | None]]:
    names: list[tuple[str, str | None]] = [
        (field, getattr(event, field, None))
        for field in (
            "model", "version", "route", "arm", "unit_id", "join_key", "label_id", "label",
            "feedback_id", "name", "source", "instance", "supersedes", "by",
        )
    ]  # fmt: skip
    if isinstance(event, Prediction):
        names += [(f"tags.{key!r}", key) for key in event.tags or ()]
        names += [(f"tags[{key!r}]", value) for key, value in (event.tags or {}).items()]
        names += [(f"features.{key!r}", key) for key in event.features or ()]
        names += [
            (f"features[{key!r}]", value)
            for key, value in (event.features or {}).items()
            if isinstance(value, str) and "\0" in value
        ]
        for i, item in enumerate(event.inputs or ()):
            names += [
                (f"inputs[{i}].name", item.name),
                (f"inputs[{i}].media_type", item.media_type),
                (f"inputs[{i}].uri", item.uri),
            ]
        if event.output is not None:
            names += [
                ("output.label", event.output.label),
                ("output.scenario", event.output.scenario),
            ]
            names += [(f"output.scores.{key!r}", key) for key in event.output.scores or ()]
            names += _free_text("output.text", event.output.text)
            names += [
                (f"output.boxes[{i}].label", b.label)
                for i, b in enumerate(event.output.boxes or ())
            ]
        if event.error is not None:
            names += [
                ("error.type", event.error.type),
                *_free_text("error.message", event.error.message),
            ]
    if isinstance(event, Label):
        names += _free_text("text", event.text)
        names += [(f"boxes[{i}].label", b.label) for i, b in enumerate(event.boxes or ())]
    return names


def _free_text(field: str, text: str | None) -> list[tuple[str, str | None]]:
    """Free text may hold new lines and tabs; only NUL is refused."""
    return [(field, "\0")] if text is not None and "\0" in text else []


def _shape_fault(event: AnyEvent) -> Fault | None:
    match event:
        case Prediction():
            return _prediction_fault(event)
        case Label():
            return _label_fault(event)
        case Feedback():
            if (
                event.prediction_id is None
                and event.join_key is None
                and (event.unit_id is None or event.route is None)
            ):
                return Fault(
                    "no_target",
                    "prediction_id",
                    "needs prediction_id, join_key, or unit_id and route",
                )
            if (event.value is None) == (event.label is None) and event.supersedes is None:
                return Fault(
                    "value_or_label", "value", "exactly one of value and label is required"
                )
        case Assigned():
            if event.minute % 60_000:
                return Fault(
                    "out_of_range", "minute", f"{event.minute} is not the start of a minute"
                )
    return None


def has_fit_names(features: Mapping[str, object]) -> bool:
    """Whether there are few enough features, and each name is 1-120 characters long.

    The same names come with every event of a model, so those that fit are remembered.
    """
    if _fit_names.issuperset(features):
        return len(features) <= MAX_FEATURES
    if len(features) > MAX_FEATURES or not all(0 < len(name) <= MAX_NAME for name in features):
        return False
    if len(_fit_names) > _FIT_NAMES_KEPT:
        _fit_names.clear()
    _fit_names.update(features)
    return True


_fit_names: set[str] = set()
_FIT_NAMES_KEPT = 100_000


def _features_fault(features: Mapping[str, object]) -> Fault | None:
    if has_fit_names(features):
        return None
    if len(features) > MAX_FEATURES:
        return Fault("out_of_range", "features", f"{len(features)}; at most {MAX_FEATURES}")
    name = next(name for name in features if not 0 < len(name) <= MAX_NAME)
    detail = f"the name {name[:60]!r} has {len(name)} characters; 1-{MAX_NAME} are allowed"
    return Fault("out_of_range", "features", detail)


def _prediction_fault(event: Prediction) -> Fault | None:
    if event.features and (fault := _features_fault(event.features)):
        return fault
    if (event.output is None) == (event.error is None):
        return Fault("output_or_error", "output", "exactly one of output and error is required")
    output = event.output
    if output is not None:
        if all(
            given is None
            for given in (
                output.label,
                output.score,
                output.scores,
                output.value,
                output.text,
                output.boxes,
            )
        ):
            return Fault(
                "empty_output", "output", "needs a label, score, scores, value, text or boxes"
            )
        if output.text is not None and len(output.text.encode()) > MAX_TEXT_BYTES:
            return Fault("out_of_range", "output.text", "longer than 16 KiB")
    for i, item in enumerate(event.inputs or ()):
        if item.sha256 is not None and not _SHA256.fullmatch(item.sha256):
            return Fault("invalid_value", f"inputs[{i}].sha256", "not 64 hexadecimal digits")
    return None


def _label_fault(event: Label) -> Fault | None:
    if event.prediction_id is None and event.join_key is None:
        return Fault("no_target", "prediction_id", "needs prediction_id, join_key or both")
    truths = [t for t in (event.label, event.value, event.text, event.boxes) if t is not None]
    if len(truths) > 1:
        return Fault("several_truths", "label", "at most one of label, value, text and boxes")
    if not truths and event.supersedes is None:
        return Fault(
            "no_truth", "label", "a label without truth retracts, and must name what it supersedes"
        )
    return None


def routing_key(event: AnyEvent) -> str:
    """What decides, with the model, which partition `event` goes to."""
    match event:
        case Assigned():
            return event.instance
        case Feedback():
            return event.join_key or event.prediction_id or event.unit_id or ""
        case _:
            return event.join_key or event.prediction_id or ""


def time_ms(time: int | datetime) -> int:
    """Milliseconds UTC of an event's time."""
    if isinstance(time, int):
        return time
    return int(time.timestamp() * 1000 + 0.5) if time.microsecond else int(time.timestamp()) * 1000


def schema(event: type[AnyEvent]) -> dict[str, object]:
    """The published JSON Schema of one event type."""
    return msgspec.json.schema(event)
