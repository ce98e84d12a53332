"""The five event types that services send, exactly as `events.md` freezes them.

Types, ranges and lengths are checked by msgspec while it decodes; the few rules that a type
cannot say (id alphabet, control characters, exactly one of output and error) are in `rules`.
Unknown fields are accepted: a client may be newer than the server.
"""

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

    code: Annotated[str, Meta(pattern="^[a-z_]{1,40}$")]  # it names a counter
    field: str
    detail: str
    index: Annotated[int, Meta(ge=0, le=2**31 - 1)]
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


def routing_key(event: AnyEvent) -> str:
    """What decides, with the model, which partition `event` goes to."""
    match event:
        case Assigned():
            return event.instance
        case OutcomeMissing():
            return event.prediction_id
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
