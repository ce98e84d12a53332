"""The events that a service sends, as bytes of JSON.

An event is encoded on the caller's thread, so its values are frozen the moment it is recorded.
What cannot be sent as it is raises here and is caught in `client.py`, never above it.
"""

import operator
from collections.abc import Iterable, Mapping
from math import isfinite, isinf
from typing import Any, SupportsFloat, SupportsIndex

import msgspec

EVENT_BYTES = 32 * 1024
Number = SupportsFloat | SupportsIndex


class Assignment(msgspec.Struct, frozen=True):
    """Which version answers one request. Safe to pickle and to hand to another process."""

    prediction_id: str
    version: str
    arm: str
    route: str
    route_version: int | None = None  # none: no rollout decided this
    confirm: bool = False  # a person must confirm before the answer is acted on
    unit_id: str | None = None  # what is randomised; none means the request itself
    tags: tuple[tuple[str, str], ...] = ()


class Output(msgspec.Struct, omit_defaults=True):
    """What a model answered; the fields that are given decide its kind."""

    label: str | None = None
    score: Number | None = None
    scores: Mapping[str, Number] | None = None
    threshold: Number | None = None
    scenario: str | None = None
    value: Number | None = None
    text: str | None = None
    boxes: Iterable[Mapping[str, Any]] | None = None
    image: Mapping[str, int] | None = None


class Failure(msgspec.Struct):
    """What a model raised instead of answering."""

    type: str
    message: str


class Prediction(
    msgspec.Struct, tag_field="type", tag="io.penstock.prediction.v1", omit_defaults=True
):
    """One answer of one version; exactly one of `output` and `error` is set."""

    model: str
    prediction_id: str
    time: int
    version: str
    route: str
    role: str
    arm: str
    route_version: int | None = None
    unit_id: str | None = None
    join_key: str | None = None
    output: Output | None = None
    error: Failure | None = None
    latency_ms: Number | None = None
    queue_ms: Number | None = None
    features: Mapping[str, Any] | None = None
    inputs: Iterable[Mapping[str, Any]] | None = None
    tags: dict[str, str] | None = None
    traceparent: str | None = None
    sample_rate: Number | None = None


class Label(msgspec.Struct, tag_field="type", tag="io.penstock.label.v1", omit_defaults=True):
    """Truth about a request; without an answer it takes back the label that it supersedes."""

    model: str
    label_id: str
    source: str
    time: int
    prediction_id: str | None = None
    join_key: str | None = None
    label: str | None = None
    value: Number | None = None
    text: str | None = None
    boxes: Iterable[Mapping[str, Any]] | None = None
    by_kind: str | None = None
    by: str | None = None
    confidence: Number | None = None
    explanation: str | None = None
    supersedes: str | None = None


class Feedback(msgspec.Struct, tag_field="type", tag="io.penstock.feedback.v1", omit_defaults=True):
    """What a user or a business metric says, about a request or about a unit."""

    model: str
    feedback_id: str
    name: str
    time: int
    value: Number | None = None
    label: str | None = None
    prediction_id: str | None = None
    join_key: str | None = None
    unit_id: str | None = None
    route: str | None = None
    supersedes: str | None = None


class OutcomeMissing(
    msgspec.Struct, tag_field="type", tag="io.penstock.outcome-missing.v1", omit_defaults=True
):
    """No label of this source will ever come for this request."""

    model: str
    prediction_id: str
    source: str
    time: int
    reason: str | None = None
    join_key: str | None = None


class Assigned(msgspec.Struct, tag_field="type", tag="io.penstock.assigned.v1", omit_defaults=True):
    """How many requests of one minute an arm was given, answered and did not send; cumulative."""

    model: str
    instance: str
    minute: int
    route: str
    arm: str
    route_version: int | None
    time: int
    assigned: int
    answered: int
    dropped: int


Event = Prediction | Label | Feedback | OutcomeMissing | Assigned


def encode(event: Event) -> bytes:
    """The event as one line of JSON, its type first.

    Raises:
        ValueError: it is larger than 32 KiB, or holds an infinite number.
        TypeError: it holds a value that has no JSON form.
    """
    line = _ENCODER.encode(event)
    if len(line) > EVENT_BYTES:
        raise ValueError(f"the event has {len(line)} bytes; at most {EVENT_BYTES} are taken")
    return line


def as_label(label: object) -> str | None:
    """A class as text: digits and numpy integers are classes too, numbers with a point are not."""
    if label is None or isinstance(label, str):
        return label
    return str(operator.index(label))  # type: ignore[arg-type]  # raises TypeError for others


def check_number(name: str, number: Number | None) -> None:
    """Nothing happens if `number` is absent or finite; else it is refused under its name."""
    if number is not None and not isfinite(number):
        raise ValueError(f"{name} is {number}; must be finite")


def check_features(features: Mapping[str, Any]) -> None:
    """Infinite values are refused. NaN is Python's missing value and goes out as null."""
    for number in features.values():
        if isinstance(number, float) and isinf(number):
            name = next(name for name, other in features.items() if other is number)
            raise ValueError(f"features.{name} is {number}; must be finite")


def check_output(output: Output) -> None:
    """All its numbers are finite (NaN would silently become null), or ValueError names one."""
    check_number("score", output.score)
    check_number("threshold", output.threshold)
    check_number("value", output.value)
    if output.scores is not None:
        for name, score in output.scores.items():
            check_number(f"scores.{name}", score)
    if output.boxes is not None:
        check_boxes(output.boxes)


def check_boxes(boxes: Iterable[Mapping[str, Any]]) -> None:
    """All scores and corners are finite, or ValueError names one."""
    for index, box in enumerate(boxes):
        check_number(f"boxes[{index}].score", box.get("score"))
        for corner in box["box"]:
            check_number(f"boxes[{index}].box", corner)


def _plain(value: Any) -> object:
    """The Python value inside a numpy or torch scalar; neither library is imported for it."""
    if not hasattr(value, "item"):
        raise TypeError(f"{type(value).__name__} has no JSON form")
    plain = value.item()
    if isinstance(plain, float) and isinf(plain):
        raise ValueError(f"{plain} is no finite number")
    return plain


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
