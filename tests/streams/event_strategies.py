"""Events as services might send them, and ways of spoiling them."""

import string
from typing import Any

import msgspec
from hypothesis import strategies as st

names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
ids = st.text(string.ascii_letters + string.digits + "._:-", min_size=1, max_size=20)
shares = st.floats(0, 1)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
times = st.integers(0, 4_102_444_799_999) | st.datetimes().map(
    lambda time: time.replace(year=1971 + time.year % 100, day=min(time.day, 28)).isoformat() + "Z"
)


def _fields(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required, optional=optional)


outputs = _fields({"score": shares}, {"label": names, "threshold": shares}) | _fields(
    {}, {"value": numbers}
).filter(bool)
predictions = _fields(
    {
        "type": st.just("io.penstock.prediction.v1"),
        "model": names,
        "prediction_id": ids,
        "version": names,
        "time": times,
        "output": outputs,
    },
    {
        "role": st.sampled_from(["live", "shadow", "proposed"]),
        "route_version": st.integers(0, 2**31 - 1),
        "join_key": names,
        "unit_id": names,
        "features": st.dictionaries(names, st.none() | st.booleans() | numbers | names, max_size=4),
        "tags": st.dictionaries(names, names, max_size=3),
        "colour": names,
    },
)
labels = _fields(
    {
        "type": st.just("io.penstock.label.v1"),
        "model": names,
        "label_id": names,
        "prediction_id": ids,
        "time": times,
        "label": names,
    },
    {"confidence": shares, "by": names, "supersedes": names},
)
feedbacks = _fields(
    {
        "type": st.just("io.penstock.feedback.v1"),
        "model": names,
        "feedback_id": names,
        "name": names,
        "prediction_id": ids,
        "time": times,
        "value": numbers,
    },
    {"join_key": names},
)
missing = _fields(
    {
        "type": st.just("io.penstock.outcome-missing.v1"),
        "model": names,
        "prediction_id": ids,
        "source": names,
        "time": times,
    },
    {"reason": st.sampled_from(["abandoned", "censored", "opted_out", "lost"])},
)
assigned = _fields(
    {
        "type": st.just("io.penstock.assigned.v1"),
        "model": names,
        "instance": names,
        "minute": st.integers(0, 10**7).map(lambda k: k * 60_000),
        "arm": names,
        "assigned": st.integers(0, 10**6),
        "answered": st.integers(0, 10**6),
        "dropped": st.integers(0, 10**6),
        "time": times,
    },
    {},
)
events = st.one_of(predictions, labels, feedbacks, missing, assigned)
lines = events.map(msgspec.json.encode)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
odd_fragments = st.sampled_from(
    [
        b"\0", b"\\u0000", b"\x7f", b"\xc2\x85", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\udc00",
        b"1e999", b"-1", b"9" * 400, b"NaN", b"null", b"{", b"}", b"[", b"]", b",", b'"', b"\\",
        b"[" * 3000, b'{"a":' * 2000, b'"specversion":"1.0",', b'"audit":{},', b'"audit" : {},',
        b'"blind":true,', b'"type":"io.penstock.refused.v1",', b'{"penstock":', b"x" * 40_000,
        b"\r", b"\t", b" ", b"\xef\xbb\xbf", b"1.5", b'"time":', b'"1900-01-01T00:00:00Z"',
    ]
)  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A good event with up to three pieces cut out of it or put into it."""
    line = draw(lines)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(line)))
        cut = draw(st.integers(0, 6))
        line = line[:at] + draw(odd_fragments | st.binary(max_size=4)) + line[at + cut :]
    return line


@st.composite
def reshaped(draw: st.DrawFn) -> bytes:
    """A good event with one of its fields dropped or set to some other JSON value."""
    event = dict(draw(events))
    field = draw(st.sampled_from(sorted(event)))
    if draw(st.booleans()):
        del event[field]
    else:
        event[field] = draw(json_values.filter(_is_json))
    return msgspec.json.encode(event)


def _is_json(value: object) -> bool:
    try:
        msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return False
    return True


anything = st.one_of(spoiled(), reshaped(), lines, st.binary(max_size=200))
