"""Every form decodes to the same events, and nothing that is sent can do harm."""

import time
import tracemalloc
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import cloudevents, codec, envelopes
from streams.errors import InputError
from streams.events import MAX_EVENT_BYTES, Prediction, Refused
from tests.laws import examples
from tests.streams import event_strategies as es

PREDICTION = {
    "type": "io.penstock.prediction.v1",
    "model": "mailguard",
    "prediction_id": "p-1",
    "version": "43",
    "time": 1_760_000_000_000,
    "output": {"label": "spam", "score": 0.91},
}
lawful = settings(deadline=None, derandomize=True)
fuzzed = settings(
    max_examples=examples(300),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def event(**fields: object) -> bytes:
    return msgspec.json.encode({**PREDICTION, **fields})


def decoded(body: bytes) -> codec.Decoded:
    return codec.decode(codec.split(body)[1])


def fault(line: bytes) -> tuple[str, str]:
    bad = codec.decode([line]).bad
    assert len(bad) == 1
    return bad[0].fault.code, bad[0].fault.field


def one_by_one(lines: list[bytes]) -> codec.Decoded:
    """What the exact rules say, without the sweep over the batch."""
    return codec._one_by_one(lines, codec._decoder.decode, envelopes.Header())


def shown(found: codec.Decoded) -> tuple[object, ...]:
    return found.events, list(found.indexes), found.lines, found.bad


def as_cloudevent(fields: dict[str, object]) -> dict[str, object]:
    data = {name: value for name, value in fields.items() if name not in ("type", "model")}
    return {
        "specversion": "1.0",
        "id": "c-1",
        "source": "/tests",
        "type": fields["type"],
        "subject": fields["model"],
        "data": data,
    }


@given(st.lists(es.events, min_size=1, max_size=6))
@lawful
def test_every_form_decodes_to_the_same_events(sent):
    lines = [msgspec.json.encode(one) for one in sent]
    pretty = [msgspec.json.format(line, indent=2) for line in lines]
    forms = {
        "json lines": b"\n".join(lines),
        "json lines with crlf": b"\r\n".join(lines) + b"\r\n",
        "json lines with blank lines": b"\n\n".join([b"", *lines, b""]),
        "byte-order mark": b"\xef\xbb\xbf" + b"\n".join(lines),
        "array": b"[" + b",".join(lines) + b"]",
        "pretty array": b"[\n" + b" ,\n".join(pretty) + b"\n]\n",
        "envelope": envelopes.pack(lines, key="k"),
    }
    if len(lines) == 1:
        forms["pretty single event"] = pretty[0]

    found = {name: decoded(body) for name, body in forms.items()}

    expected = [msgspec.json.decode(line, type=codec.AnyEvent) for line in lines]
    assert {name: got.events for name, got in found.items()} == dict.fromkeys(forms, expected)
    assert not any(got.bad for got in found.values())


@given(st.lists(es.events, min_size=1, max_size=4))
@lawful
def test_cloud_events_decode_to_the_plain_events(sent):
    expected = decoded(b"\n".join(map(msgspec.json.encode, sent))).events
    structured = [msgspec.json.encode(as_cloudevent(one)) for one in sent]

    batch = decoded(b"[" + b",".join(structured) + b"]")
    single = [decoded(one).events[0] for one in structured]

    for got in (batch.events, single):
        assert [one.event_id for one in got] == ["c-1"] * len(sent)
        for one in got:
            one.event_id = None
        assert got == expected


def test_a_binary_cloud_event_takes_its_attributes_from_headers():
    headers = {
        "ce-specversion": "1.0", "ce-id": "c-1", "ce-type": PREDICTION["type"],
        "ce-subject": "caf%C3%A9", "traceparent": "00-ab-cd-01",
    }  # fmt: skip
    data = {k: v for k, v in PREDICTION.items() if k not in ("type", "model")}

    line = cloudevents.from_headers(headers, msgspec.json.format(msgspec.json.encode(data)))

    assert b"\n" not in line
    (got,) = codec.decode([line]).events
    assert (got.model, got.event_id, got.traceparent) == ("café", "c-1", "00-ab-cd-01")


def test_a_plain_event_may_mention_specversion():
    assert len(codec.decode([event(specversion="1.0")]).events) == 1


@given(st.lists(es.anything, min_size=1, max_size=6))
@fuzzed
def test_the_sweep_and_the_exact_rules_agree(lines):
    assert shown(codec.decode(lines)) == shown(one_by_one(lines))


@given(st.lists(es.lines, min_size=1, max_size=4), es.anything, st.integers(0, 4))
@fuzzed
def test_a_bad_line_never_costs_its_neighbours(good, odd, at):
    at = min(at, len(good))
    expected = codec.decode(good).events

    found = codec.decode([*good[:at], odd, *good[at:]])

    kept = [e for e, index in zip(found.events, found.indexes, strict=True) if index != at]
    assert kept == expected
    assert all(bad.index == at for bad in found.bad)


@pytest.mark.parametrize(
    "broken",
    [
        b'{"type":nonsense}',
        b"NaN",
        b'{"a":1,,"b":[1,]}',
        b'{"deep":' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"text":"a, ] \\" }","x":}',
        b"",
    ],
)
def test_a_broken_element_of_an_array_costs_only_itself(broken):
    body = b"[" + b", ".join([event(prediction_id="a"), broken, event(prediction_id="b")]) + b"]"

    found = decoded(body)

    assert [e.prediction_id for e in found.events] == ["a", "b"]
    assert [bad.index for bad in found.bad] == [1]


def test_an_array_that_does_not_end_keeps_what_is_whole():
    found = decoded(b"[" + event() + b"," + event()[:-20])

    assert (len(found.events), [bad.fault.code for bad in found.bad]) == (1, ["malformed_json"])


@given(es.anything)
@fuzzed
def test_no_line_makes_the_decoder_raise(line):
    found = codec.decode([line])

    assert len(found.events) + len(found.bad) == 1
    for bad in found.bad:
        assert bad.fault.code
        assert len(bad.raw) <= codec.MAX_RAW_BYTES
        assert len(bad.fault.detail) <= 600
        assert len(bad.id) <= 200
    for kept in found.lines:
        kept.decode()


@given(st.lists(es.anything, max_size=4), st.sampled_from([b"\n", b",", b"\r\n", b""]))
@fuzzed
def test_no_body_raises_anything_but_an_input_error(parts, joint):
    body = joint.join(parts)
    for whole in (body, b"[" + body + b"]", envelopes.MAGIC + body):
        try:
            lines = codec.split(whole)[1]
        except InputError:
            continue
        assert not any(b"\n" in line for line in lines)
        codec.decode(lines)


@given(es.anything)
@fuzzed
def test_any_record_of_the_log_is_read(value):
    codec.decode_record(value)


@given(st.lists(es.lines, min_size=1, max_size=5))
@lawful
def test_what_ingest_takes_intake_reads_alike(lines):
    taken = codec.decode(lines)

    read, refused = codec.decode_record(envelopes.pack(taken.lines, key="k"))

    assert (read.events, read.bad, refused) == (taken.events, [], [])
    assert read.header.key == "k"


def test_a_refused_line_comes_back_with_its_index():
    refused = Refused(code="c", field="f", detail="d", index=7, raw='{"a":"\0�"')

    read, back = codec.decode_record(envelopes.pack([event(), msgspec.json.encode(refused)]))

    assert [type(e) for e in read.events] == [Prediction]
    assert back == [(1, refused)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (event(output={"score": 1.2}), ("out_of_range", "output.score")),
        (event(output={"score": "1"}), ("wrong_type", "output.score")),
        (event(output={}), ("empty_output", "output")),
        (event(output=None), ("output_or_error", "output")),
        (event(error={"type": "Timeout"}), ("output_or_error", "output")),
        (event(prediction_id="a b"), ("bad_id", "prediction_id")),
        (event(prediction_id="ä"), ("bad_id", "prediction_id")),
        (event(prediction_id=7), ("wrong_type", "prediction_id")),
        (event(prediction_id="x" * 201), ("out_of_range", "prediction_id")),
        (event(model="a\x07b"), ("control_character", "model")),
        (event(model="a\x85b"), ("control_character", "model")),
        (event(tags={"a\0": "b"}), ("control_character", "tags.'a\\x00'")),
        (event(features={"a": [1]}), ("wrong_type", "features[...]")),
        (event(features={str(k): k for k in range(501)}), ("out_of_range", "features")),
        (event(inputs=[{"name": "x", "sha256": "z" * 64}]), ("invalid_value", "inputs[0].sha256")),
        (event(inputs=[{"name": "x", "uri": "a\0"}]), ("control_character", "inputs[0].uri")),
        (event(time="2024-01-01T00:00:00"), ("out_of_range", "time")),
        (event(time="1969-12-31T23:59:59Z"), ("out_of_range", "time")),
        (event(time="2100-01-01T00:00:00+00:00"), ("out_of_range", "time")),
        (event(time=1.5), ("wrong_type", "time")),
        (event(time=-1), ("out_of_range", "time")),
        (event(type="io.penstock.guess.v1"), ("unknown_type", "type")),
        (event(type="io.penstock.refused.v1"), ("unknown_type", "type")),
        (event(output={"label": "x", "text": "é" * 10_000}), ("out_of_range", "output.text")),
        (event(colour="x" * MAX_EVENT_BYTES), ("oversized_event", "")),
        (b'{"type":"io.penstock.prediction.v1"}', ("missing_field", "model")),
        (event().replace(b'"43"', b'"\\ud800"'), ("bad_encoding", "")),
        (event().replace(b'"43"', b'"43","x":"\xff"'), ("bad_encoding", "")),
        (event().replace(b'"43"', b'"43","x":' + b"[" * 2000 + b"]" * 2000), ("too_deep", "")),
        (event().replace(b"0.91", b"1e999"), ("out_of_range", "output.score")),
        (event().replace(b"0.91", b"9" * 5000), ("out_of_range", "output.score")),
        (event().replace(b"0.91", b"NaN"), ("malformed_json", "")),
        (b"[]", ("wrong_type", "")),
        (b"7", ("wrong_type", "")),
    ],
)
def test_a_fault_names_the_field_and_the_rule(line, said):
    assert fault(line) == said


@pytest.mark.parametrize("name", ["", "a" * 121])
def test_a_feature_with_an_unfit_name_is_refused(name):
    code, field = fault(event(features={name: 1}))

    assert code == "out_of_range"
    assert field.startswith("features")


@pytest.mark.parametrize("spelling", [b'"audit":{}', b'"audit" : {}', b'"blind":true'])
def test_fields_of_our_own_are_refused_from_outside(spelling):
    line = (
        b'{"type":"io.penstock.label.v1","label_id":"l","prediction_id":"p","model":"m","time":1,'
        b'"label":"x",' + spelling + b"}"
    )

    assert fault(line)[0] == "reserved_field"
    assert [bad.fault.code for bad in codec.decode_record(line)[0].bad] == ["reserved_field"]


def test_the_id_of_a_bad_event_is_named_where_it_can_be_read():
    bad = codec.decode([event(output={"score": 2}), event(prediction_id=7), b"{"]).bad

    assert [one.id for one in bad] == ["p-1", "", ""]


def test_utf_16_and_newer_envelopes_are_refused_as_a_whole():
    with pytest.raises(InputError, match="UTF-16"):
        codec.split(event().decode().encode("utf-16"))
    with pytest.raises(InputError, match="format 2"):
        codec.split(b'{"penstock":2}\n' + event())


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 300_000,
        b'[{"a":"' * 150_000,
        b"[" + b"," * 200_000 + b"]",
        b"[1" + b",1" * 700_000 + b",]",
        (b'{"a":' * 6_000 + b"\n") * 100,
        b'"\\' * 2_000_000,
        b"1" + b"\n" * 4_000_000 + b"1",
    ],
    ids=lambda body: body[:9].decode(),
)
def test_a_hostile_body_costs_little_time_and_memory(body):
    began = time.process_time()
    attempt(body)
    spent = time.process_time() - began
    tracemalloc.start()
    attempt(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert spent < 3
    assert peak < 150 << 20


def attempt(body: bytes) -> None:
    try:
        codec.decode(codec.split(body)[1][:1000])
    except InputError:
        return


def test_lines_of_an_envelope_keep_their_order():
    lines = [event(time=k) for k in range(50)]

    read, _ = codec.decode_record(envelopes.pack(lines))

    assert all(a.time < b.time for a, b in pairwise(read.events))
