"""Labels, feedback and declared absences of a batch, in the one shape that the fold reads."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from streams.answers import packed
from streams.arrivals import Arrivals
from streams.codec import decode_record
from streams.codes import Codes, Wanted
from streams.db.bulk import request_keys
from streams.events import AnyEvent, Feedback, Label, OutcomeMissing, time_ms
from streams.facts import BLOB, BY_KINDS, MISSING, NONE, OTHER, VALUE, Truth
from streams.hashing import id8, identify
from streams.ledger import Orphan

MISSING_ID8 = bytes(8)  # a source can be declared missing once for a request


class Said(msgspec.Struct):
    """One label on its way to a request: what it addresses, and what it says."""

    at: int  # index among the arrivals; -1 for one that waited as an orphan
    key: bytes  # the request key of its prediction id, else of its join key
    source_no: int
    truth: Truth
    blob: bytes | None


def is_label(event: AnyEvent) -> bool:
    """Whether this event says something about a request."""
    kind = type(event)
    return kind is Label or kind is OutcomeMissing or (kind is Feedback and not _by_unit(event))


def is_report(event: AnyEvent) -> bool:
    """Whether this event is feedback about a unit on a route."""
    return type(event) is Feedback and _by_unit(event)


def _by_unit(event: Any) -> bool:
    return event.prediction_id is None and event.join_key is None


def source_of(event: Any) -> str:
    """`outcome`, `audit` or `feedback:<name>`."""
    return f"feedback:{event.name}" if type(event) is Feedback else event.source


def wanted_codes(events: Sequence[AnyEvent], model_nos: dict[str, int]) -> Wanted:
    """The codes that labels and feedback need once their models have numbers."""
    wanted: Wanted = set()
    for event in events:
        if is_label(event):
            wanted.add(("source", 0, source_of(event)))
            truth = getattr(event, "label", None)
            if truth is not None:
                wanted.add(("label", model_nos[event.model], truth))
        elif isinstance(event, Feedback):
            wanted.add(("feedback", 0, event.name))
            wanted.add(("route", 0, event.route or "default"))
            if event.label is not None:
                wanted.add(("label", model_nos[event.model], event.label))
    return wanted


def said(arrivals: Arrivals, *, codes: Codes) -> list[Said]:
    """Every label among the arrivals, in log order."""
    at = [k for k in arrivals.others if is_label(arrivals.events[k])]
    events: list[Any] = [arrivals.events[k] for k in at]
    numbers = codes.of("model")
    days, pids = identify([e.prediction_id or e.join_key for e in events])
    keys = request_keys(days, pids, np.array([numbers[e.model] for e in events], np.int64))
    return [
        _said(event, k, key, observed_ms, codes)
        for event, k, key, observed_ms in zip(
            events, at, keys, arrivals.event_ms[at].tolist(), strict=True
        )
    ]


def waited(orphan: Orphan, *, codes: Codes) -> Said:
    """What an orphan says; it was decoded once already, so its bytes are good."""
    (event,) = decode_record(orphan.raw)[0].events
    observed = min(time_ms(event.time), orphan.appended_ms)
    return _said(event, -1, orphan.key, observed, codes)


def _said(event: Any, at: int, key: bytes, observed_ms: int, codes: Codes) -> Said:
    model_no = codes.of("model")[event.model]
    source_no = codes.of("source").get(source_of(event), 0)
    if type(event) is OutcomeMissing:
        truth = Truth(MISSING, None, observed_ms, 0, MISSING_ID8, BY_KINDS["outcome"], 0)
        return Said(at, key, source_no, truth, None)
    by_join = event.prediction_id is None
    own_id = event.feedback_id if type(event) is Feedback else event.label_id
    blob = None
    if event.label is not None:
        code = codes.of("label", model_no).get(event.label, OTHER)
    elif event.value is not None:
        code = VALUE
    elif getattr(event, "boxes", None) is not None or getattr(event, "text", None) is not None:
        code, blob = BLOB, packed(event)
    else:
        code = NONE
    truth = Truth(
        code,
        event.value,
        observed_ms,
        int(event.supersedes is not None),
        id8(own_id),
        BY_KINDS[getattr(event, "by_kind", "outcome")],
        int(by_join),
    )
    return Said(at, key, source_no, truth, blob)
