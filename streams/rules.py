"""The rules of events that a type cannot say, and which of them an event breaks first."""

import re
from collections.abc import Iterator, Mapping

from streams.events import (
    LAST_TIME_MS,
    MAX_FEATURES,
    MAX_NAME,
    MAX_TEXT_BYTES,
    AnyEvent,
    Assigned,
    Fault,
    Feedback,
    Label,
    Output,
    Prediction,
    time_ms,
)

_ID = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ID_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"


def rule_fault(event: AnyEvent) -> Fault | None:
    """The first rule beyond types, ranges and lengths that `event` breaks, or None."""
    return _id_fault(event) or _time_fault(event) or _name_fault(event) or _shape_fault(event)


def clean_fault(event: AnyEvent) -> Fault | None:
    """`rule_fault` of an event in whose bytes no control character can stand."""
    return _id_fault(event) or _time_fault(event) or _shape_fault(event)


def _id_fault(event: AnyEvent) -> Fault | None:
    pid = getattr(event, "prediction_id", None)
    if pid is not None and not _ID.fullmatch(pid):
        return Fault(
            "bad_id", "prediction_id", f"{pid[:60]!r} has characters other than A-Z a-z 0-9 . _ : -"
        )
    return None


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


Named = Iterator[tuple[str, str | None]]


def _names(event: AnyEvent) -> Named:
    """(field, text) of everything in which a control character is refused."""
    for field in _NAME_FIELDS:
        yield field, getattr(event, field, None)
    if isinstance(event, Prediction):
        yield from _prediction_names(event)
    elif isinstance(event, Label):
        yield from _free_text("text", event.text)
        for i, box in enumerate(event.boxes or ()):
            yield f"boxes[{i}].label", box.label


_NAME_FIELDS = (
    "model", "version", "route", "arm", "unit_id", "join_key", "label_id", "label",
    "feedback_id", "name", "source", "instance", "supersedes", "by",
)  # fmt: skip


def _prediction_names(event: Prediction) -> Named:
    for key, text in (event.tags or {}).items():
        yield f"tags.{key!r}", key
        yield f"tags[{key!r}]", text
    for key, value in (event.features or {}).items():
        yield f"features.{key!r}", key
        if isinstance(value, str):
            yield from _free_text(f"features[{key!r}]", value)
    for i, item in enumerate(event.inputs or ()):
        yield f"inputs[{i}].name", item.name
        yield f"inputs[{i}].media_type", item.media_type
        yield f"inputs[{i}].uri", item.uri
    if event.output is not None:
        yield from _output_names(event.output)
    if event.error is not None:
        yield "error.type", event.error.type
        yield from _free_text("error.message", event.error.message)


def _output_names(output: Output) -> Named:
    yield "output.label", output.label
    yield "output.scenario", output.scenario
    for key in output.scores or ():
        yield f"output.scores.{key!r}", key
    yield from _free_text("output.text", output.text)
    for i, box in enumerate(output.boxes or ()):
        yield f"output.boxes[{i}].label", box.label


def _free_text(field: str, text: str | None) -> Named:
    """Free text may hold new lines and tabs; only NUL is refused."""
    if text is not None and "\0" in text:
        yield field, "\0"


def _shape_fault(event: AnyEvent) -> Fault | None:
    match event:
        case Prediction():
            return _prediction_fault(event)
        case Label():
            return _label_fault(event)
        case Feedback():
            return _feedback_fault(event)
        case Assigned() if event.minute % 60_000:
            return Fault("out_of_range", "minute", f"{event.minute} is not the start of a minute")
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
        answers = (
            output.label, output.score, output.scores, output.value, output.text, output.boxes,
        )  # fmt: skip
        if all(answer is None for answer in answers):
            return Fault(
                "empty_output", "output", "needs a label, score, scores, value, text or boxes"
            )
        if output.text is not None and len(output.text.encode()) > MAX_TEXT_BYTES:
            return Fault("out_of_range", "output.text", "longer than 16 KiB")
    for i, item in enumerate(event.inputs or ()):
        if item.sha256 is not None and not _SHA256.fullmatch(item.sha256):
            return Fault("invalid_value", f"inputs[{i}].sha256", "not 64 hexadecimal digits")
    return None


def _feedback_fault(event: Feedback) -> Fault | None:
    by_unit = event.unit_id is not None and event.route is not None
    if event.prediction_id is None and event.join_key is None and not by_unit:
        return Fault(
            "no_target", "prediction_id", "needs prediction_id, join_key, or unit_id and route"
        )
    if (event.value is None) == (event.label is None) and event.supersedes is None:
        return Fault("value_or_label", "value", "exactly one of value and label is required")
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
