"""What other clients write to Kafka, as the reader hands it on."""

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord

from streams import codec
from streams.logs.kafka_records import nothing, records_of

DATA = {
    "version": "1", "prediction_id": "p-1", "output": {"label": "spam"},
}  # fmt: skip
BODY = json.dumps(DATA).encode()
HEADERS = {
    "ce_specversion": b"1.0",
    "ce_type": b"io.penstock.prediction.v1",
    "ce_source": b"/mailguard",
    "ce_id": b"e-1",
    "ce_time": b"2026-11-21T06:14:02Z",
    "ce_subject": "café%20au lait".encode(),
    "content-type": b"application/json",
}


def fetched(offset: int, value: bytes | None = b"", headers: dict[str, bytes | None] | None = None):
    """A record as kafka-python gives it."""
    pairs = list((headers or {}).items())
    return ConsumerRecord(
        "events", 3, 0, offset, 1_000, 1, None, value, pairs, None, -1, 0, -1
    )  # fmt: skip


def decoded(value: bytes | None, headers: dict[str, bytes | None]) -> codec.Decoded:
    (record,) = records_of([fetched(0, value, headers)], 0)
    return codec.decode_record(record.value)[0]


def fault(value: bytes | None, headers: dict[str, bytes | None]) -> tuple[str, str]:
    (bad,) = decoded(value, headers).bad
    return bad.fault.code, bad.fault.field


def test_a_cloudevent_in_binary_mode_is_the_plain_event_of_its_headers_and_data():
    (event,) = decoded(BODY, HEADERS).events

    assert event.model == "café%20au lait"  # on Kafka nothing is percent-encoded
    assert event.prediction_id == "p-1"
    assert event.event_id == "e-1"
    assert event.time.isoformat() == "2026-11-21T06:14:02+00:00"


def test_attributes_fill_only_what_the_data_leaves_open_but_the_type_is_theirs():
    data = DATA | {"model": "eta", "type": "io.penstock.label.v1"}

    (event,) = decoded(json.dumps(data).encode(), HEADERS).events

    assert event.model == "eta"
    assert type(event).__name__ == "Prediction"


def test_data_over_several_lines_is_one_event():
    (event,) = decoded(json.dumps(DATA, indent=1).encode(), HEADERS).events

    assert event.prediction_id == "p-1"


def test_a_structured_cloudevent_is_told_by_its_content_type_whatever_else_its_headers_say():
    whole = {
        "specversion": "1.0", "type": "io.penstock.prediction.v1", "subject": "eta", "time":
        "2026-11-21T06:14:02Z", "data": DATA,
    }  # fmt: skip
    headers = HEADERS | {"content-type": b"application/cloudevents+json; charset=UTF-8"}

    (event,) = decoded(json.dumps(whole).encode(), headers).events

    assert event.model == "eta"


def test_headers_of_other_tools_change_nothing():
    plain = json.dumps(DATA | {"type": "io.penstock.prediction.v1", "model": "m", "time": 1})

    (event,) = decoded(plain.encode(), {"traceparent": b"00-1", "x": None}).events

    assert event.model == "m"


@pytest.mark.parametrize(
    ("value", "headers", "told"),
    [
        (None, {}, ("empty_record", "")),
        (b" \n", {}, ("empty_record", "")),
        (b"[]", {}, ("empty_record", "")),
        (None, HEADERS, ("empty_record", "")),
        (b"\xff\x01avro", HEADERS, ("bad_encoding", "")),
        (b"\x00\x01avro", HEADERS | {"content-type": b"avro/binary"}, ("malformed_json", "")),
        (b'"text"', HEADERS, ("wrong_type", "")),
        (BODY, HEADERS | {"ce_type": b"other"}, ("unknown_type", "type")),
        (BODY, HEADERS | {"ce_type": None}, ("missing_field", "type")),
        (BODY, HEADERS | {"ce_subject": b"\xff"}, ("bad_encoding", "")),
        (BODY, HEADERS | {"ce_subject": b"a\0"}, ("control_character", "model")),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(value, headers, told):
    assert fault(value, headers) == told


@given(
    st.none() | st.binary(max_size=80),
    st.dictionaries(
        st.sampled_from([*HEADERS, "ce_traceparent", "other"]), st.none() | st.binary(max_size=20)
    ),
)
def test_whatever_a_record_holds_it_is_read_or_named(value, headers):
    (record,) = records_of([fetched(0, value, headers)], 0)

    found, _ = codec.decode_record(record.value)

    assert found.events or found.bad


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.integers(0, 50))
def test_records_and_what_they_skipped_leave_no_offset_out(holes, begin):
    offsets, at = [], begin
    for hole in holes:
        offsets.append(at + hole)
        at += hole + 1

    records = list(records_of([fetched(offset) for offset in offsets], begin))

    assert [record.offset for record in records] == offsets
    assert records[0].offset - records[0].skipped == begin
    assert all(b.offset - b.skipped == a.offset + 1 for a, b in pairwise(records))


def test_nothing_stands_for_every_offset_and_holds_no_event():
    record = nothing(3, begin=7, end=10, now_ms=1)

    found, refused = codec.decode_record(record.value)

    assert (record.offset, record.offset - record.skipped) == (9, 7)
    assert (found.events, found.bad, refused) == ([], [], [])


HOSTILE = [
    {"hops": 10**9}, {"hops": -1}, {"appended_ms": -1}, {"appended_ms": 10**18}, {"count": -1},
    {"key": ""}, {"key": "x" * 1_000}, {"penstock": 2},
]  # fmt: skip


@pytest.mark.parametrize("header", HOSTILE, ids=str)
def test_a_header_that_claims_too_much_costs_its_record_alone(header):
    line = msgspec.json.encode({"penstock": 1} | header)

    found, _ = codec.decode_record(line + b'\n{"type":"io.penstock.label.v1"}')

    assert [bad.fault.code for bad in found.bad] in (["malformed_json"], ["unknown_format"])
    assert found.events == []


def test_a_record_of_commas_is_one_fault():
    found, _ = codec.decode_record(b"[" + b"0," * 500_000 + b"0]")

    assert [bad.fault.code for bad in found.bad] == ["too_many_events"]
