"""The table of bad input in docs/events.md: one test a row, through the app into a real log."""

import asyncio
import gzip
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import httpx
import msgspec
import pytest

from penstock.web import bodies
from streams import keys
from streams.db.engine import writing
from tests.web.places import Place, lines, prediction

DOCS = Path(__file__).parents[2] / "docs" / "events.md"
MIB = 1 << 20
LABEL = {
    "type": "io.penstock.label.v1", "model": "mailguard", "label_id": "l-1",
    "prediction_id": "p-1", "time": 1, "label": "ham",
}  # fmt: skip
FEEDBACK = {
    "type": "io.penstock.feedback.v1", "model": "mailguard", "feedback_id": "f-1",
    "name": "stars", "prediction_id": "p-1", "time": 1, "value": 4,
}  # fmt: skip
ASSIGNED = {
    "type": "io.penstock.assigned.v1", "model": "mailguard", "instance": "i", "minute": 61_000,
    "arm": "champion", "assigned": 1, "answered": 1, "dropped": 0, "time": 1,
}  # fmt: skip
CLOUD_EVENT = {
    "specversion": "1.0", "type": "io.penstock.prediction.v1", "id": "1", "source": "/s",
    "subject": "mailguard",
}  # fmt: skip


def bad(**fields: object) -> bytes:
    return msgspec.json.encode(prediction(9, **fields))


def label(**fields: object) -> bytes:
    return msgspec.json.encode({**LABEL, **fields})


def without(event: Mapping[str, object], *names: str) -> bytes:
    return msgspec.json.encode({k: v for k, v in event.items() if k not in names})


def spliced(old: bytes, new: bytes) -> bytes:
    return bad().replace(old, new)


BAD_EVENTS: dict[str, bytes] = {
    "broken JSON in the middle of JSON Lines": b'{"type":"io.penstock.prediction.v1",',
    "NaN or Infinity": spliced(b"0.91", b"NaN"),
    "text that is not UTF-8": spliced(b"spam", b"sp\xffm"),
    "a lone surrogate": spliced(b"spam", b"\\ud83d"),
    "deep nesting": spliced(b'"spam"', b'"spam","x":' + b"[" * 5000 + b"]" * 5000),
    "an event over 32 KiB": bad(colour="x" * 32 * 1024),
    "not an object": b"7",
    "an unknown type": bad(type="io.penstock.guess.v1"),
    "a record type of Penstock's own": bad(type="io.penstock.refused.v1"),
    "a missing field": without(prediction(), "model"),
    "a wrong type": bad(output={"score": "high"}),
    "a score out of range": bad(output={"score": 1.2}),
    "a number too large for a double": bad(features={"a": 0}).replace(b'"a":0', b'"a":1e999'),
    "a list as a feature": bad(features={"a": [1]}),
    "more than 500 features": bad(features={str(k): k for k in range(501)}),
    "a time without an offset": bad(time="2026-11-21T06:14:02"),
    "a time before 1970": bad(time="1969-12-31T23:59:59Z"),
    "a time with decimals": bad(time=1.5),
    "an id with odd characters": bad(prediction_id="p 1/é"),
    "an empty id": bad(prediction_id=""),
    "an id over 200 characters": bad(prediction_id="p" * 201),
    "NUL in a name": bad(model="mail\0guard"),
    "NUL in a text": bad(output={"text": "a\0b"}),
    "a control character in a name": bad(version="4\x1b[2J3"),
    "neither output nor error": without(prediction(), "output"),
    "both output and error": bad(error={"type": "Timeout"}),
    "an output that says nothing": bad(output={"threshold": 0.5}),
    "a digest that is none": bad(inputs=[{"name": "image", "sha256": "x" * 64}]),
    "a label without a target": without(LABEL, "prediction_id"),
    "a label with two truths": label(value=1.0),
    "a label with no truth": without(LABEL, "label"),
    "a label that claims to be an audit's": label(audit={}),
    "feedback with value and label": msgspec.json.encode({**FEEDBACK, "label": "good"}),
    "feedback without a target": without(FEEDBACK, "prediction_id"),
    "a minute that does not begin one": msgspec.json.encode(ASSIGNED),
    "a CloudEvent without data": msgspec.json.encode(CLOUD_EVENT),
}


def stamped(**fields: object) -> bytes:
    return lines(prediction(1, **fields))


def _with_rate(place: Place) -> httpx.Response:
    with place.client() as client:
        client.send(lines(*[prediction(k) for k in range(1000)]))
        client.send(lines(*[prediction(k) for k in range(1000)]))
        return client.send(stamped())


def _keyed(place: Place, change: Callable[[str], None] = lambda _id: None) -> httpx.Response:
    headers = place.key("events:write")
    change(headers["Authorization"].split("_")[1])
    with place.client() as client:
        return client.send(stamped(), **headers)


def _revoked(place: Place) -> httpx.Response:
    def revoke(key_id: str) -> None:
        with writing(place.engine) as connection:
            keys.revoke(connection, key_id, 2)

    return _keyed(place, revoke)


def _expired(place: Place) -> httpx.Response:
    with writing(place.engine) as connection:
        made = keys.create(
            connection, name="k", scopes=["events:write"], models="*", now_ms=1, expires_ms=2
        )
    with place.client() as client:
        return client.send(stamped(), Authorization=f"Bearer {made.token}")


def _without_key(place: Place) -> httpx.Response:
    place.key("events:write")
    with place.client() as client:
        return client.send(stamped())


def _reader(place: Place) -> httpx.Response:
    headers = place.key("rollouts:read")
    with place.client() as client:
        return client.send(stamped(), **headers)


def _slow(place: Place) -> httpx.Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(0.2)
        yield b"}"

    with place.client() as client:
        return client.request("POST", "/v1/events", content=body())


def _far_away(place: Place) -> httpx.Response:
    with place.client(address=("192.0.2.7", 1)) as client:
        return client.send(stamped())


def _behind(place: Place) -> httpx.Response:
    with place.client() as client:
        client.send(lines(*[prediction(k, notes="x" * 900) for k in range(800)]))
        time.sleep(1.2)  # the next look at the log
        return client.send(stamped())


def _closed(place: Place) -> httpx.Response:
    with place.client() as client:
        place.commits.close()
        return client.send(stamped())


def sent(body: bytes, **headers: str) -> Callable[[Place], httpx.Response]:
    def send(place: Place) -> httpx.Response:
        with place.client() as client:
            return client.send(body, **headers)

    return send


ZIPPED = gzip.compress(stamped())
BAD_BODIES: dict[str, Callable[[Place], httpx.Response]] = {
    "nothing but broken JSON": sent(b'{"type": nonsense}'),
    "UTF-16": sent(stamped().decode().encode("utf-16")),
    "an envelope with a broken header": sent(b'{"penstock":"one"}\n' + stamped()),
    "an empty body": sent(b" \n"),
    "truncated gzip": sent(ZIPPED[:-12], content_encoding="gzip"),
    "damaged gzip": sent(b"\x1f\x8b" + b"x" * 40, content_encoding="gzip"),
    "gzip in a thousand members": sent(gzip.compress(b"") * 1000, content_encoding="gzip"),
    "no key where one is needed": _without_key,
    "no key from another machine": _far_away,
    "no key through a proxy": sent(stamped(), x_forwarded_for="192.0.2.7"),
    "an unknown key": sent(stamped(), authorization="Bearer ps_nobody_nothing"),
    "a revoked key": _revoked,
    "an expired key": _expired,
    "a key that may only read": _reader,
    "a Host name that is not ours": sent(stamped(), host="evil.example:8080"),
    "a page of another site": sent(stamped(), origin="http://evil.example"),
    "a body that takes too long": _slow,
    "a body over 1 MiB": sent(b" " * (MIB + 1)),
    "a gzip bomb": sent(gzip.compress(bytes(64 * MIB)), content_encoding="gzip"),
    "more than 1,000 events": sent(lines(*[prediction(k) for k in range(1001)])),
    "a form": sent(b"a=b", content_type="application/x-www-form-urlencoded"),
    "another charset": sent(stamped(), content_type="application/json; charset=latin-1"),
    "another compression": sent(stamped(), content_encoding="br"),
    "a key that sends too fast": _with_rate,
    "intake too far behind": _behind,
    "a disk without its reserve": sent(stamped()),
    "a log that cannot be written": _closed,
}
SETTINGS: dict[str, dict[str, float]] = {
    "a key that sends too fast": {"key_rate_per_s": 500.0},
    "intake too far behind": {"high_water_bytes": MIB // 2},
    "a disk without its reserve": {"disk_reserve_bytes": 1 << 60},
}
UNKEPT_BEFORE = {"a key that sends too fast", "intake too far behind"}
SEEN_BY_INTAKE = {"orphan", "conflict", "too_late", "skewed", "too_many_labels", "unjoined"}


def rows(columns: int) -> dict[str, list[str]]:
    """The rows of that many columns under "Bad input", by their case."""
    text = DOCS.read_text().partition("## Bad input")[2]
    found = re.findall(r"^\| (.+) \|$", text, re.MULTILINE)
    cells = [row.split(" | ") for row in found]
    return {row[0]: row[1:] for row in cells if len(row) == columns and row[0] != "case"}


ROWS = rows(5)
OTHERS = {
    "broken JSON in the middle of an array",
    "an unknown field, strict",
    "a model that the key is not bound to",
    "a type that the key has no scope for",
}


def test_every_row_has_a_test_and_every_test_a_row():
    assert set(ROWS) == BAD_EVENTS.keys() | BAD_BODIES.keys() | OTHERS
    assert {row[0] for row in rows(3).values()} == SEEN_BY_INTAKE


def check(place: Place, answer: httpx.Response, case: str, line: bytes) -> None:
    """The answer and the log are as the row says; `line` stood second of three."""
    status, code, field, kept = ROWS[case]
    assert (answer.status_code, kept) == (int(status), "the event")
    (rejected,) = answer.json()["rejected"]
    said = (rejected["index"], rejected["code"], rejected["field"] or "-", rejected["retryable"])
    assert said == (1, code, field, False)
    assert answer.json()["accepted"] == 2
    events, (refused,), _ = place.kept()
    assert {event.prediction_id for _, event in events} == {"p-0", "p-2"}
    assert (refused.index, refused.code) == (1, code)
    assert refused.raw == line[:2048].decode(errors="replace")


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_a_bad_event_is_named_and_kept_and_its_neighbours_are_taken(place, client, case):
    body = b"\n".join([lines(prediction(0)), BAD_EVENTS[case], lines(prediction(2))])

    answer = client.send(body)

    check(place, answer, case, BAD_EVENTS[case])


def test_a_broken_element_of_an_array_is_named_and_kept(place, client):
    broken = b'{"type": nonsense, "x": [1, 2]}'
    body = b"[" + b", ".join([lines(prediction(0)), broken, lines(prediction(2))]) + b"]"

    answer = client.send(body)

    check(place, answer, "broken JSON in the middle of an array", broken)


def test_an_unknown_field_is_rejected_only_when_strict(place, client):
    odd = bad(output={"score": 0.5, "colour": "red"})
    body = b"\n".join([lines(prediction(0)), odd, lines(prediction(2))])

    strict = client.request("POST", "/v1/events?strict=1", content=body)

    check(place, strict, "an unknown field, strict", odd)
    lenient = client.send(odd).json()
    assert (lenient["accepted"], lenient["warnings"][0]["field"]) == (1, "output.colour")


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("a model that the key is not bound to", bad(model="other")),
        ("a type that the key has no scope for", label()),
    ],
)
def test_an_event_that_the_key_does_not_cover_is_rejected(place, client, case, line):
    headers = place.key("events:write", models=("mailguard",))
    body = b"\n".join([lines(prediction(0)), line, lines(prediction(2))])

    answer = client.send(body, **headers)

    check(place, answer, case, line)


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_a_problem_that_says_what_to_do(tmp_path, monkeypatch, case):
    status, code, _, kept = ROWS[case]
    monkeypatch.setattr(bodies, "BODY_S", 0.1 if status == "408" else bodies.BODY_S)
    place = Place(tmp_path, **SETTINGS.get(case, {}))

    answer = BAD_BODIES[case](place)

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (int(status), f"/problems/{code}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status_code
    assert all(problem[name] for name in ("title", "detail", "fix", "instance", "trace_id"))
    assert ("retry-after" in answer.headers) == (status in ("429", "503"))
    events, refused, _ = place.kept()
    assert case in UNKEPT_BEFORE or not events
    assert len(refused) == (kept == "the event")
    place.close()


def test_of_a_field_that_stands_twice_the_last_counts(place, client):
    client.send(spliced(b'"version":"43"', b'"version":"1","version":"2"'))

    ((_, event),) = place.kept()[0]
    assert event.version == "2"


def test_past_the_cap_rejected_events_are_counted_but_not_kept(place, client):
    for _ in range(2):
        client.send(b"\n".join([b"7"] * 70 + [lines(prediction(1))]))

    assert len(place.kept()[1]) == 100
    text = client.get("/metrics").text
    assert 'penstock_ingest_events_rejected_total{code="wrong_type"} 140.0' in text
    assert "penstock_ingest_rejects_unkept_total 40.0" in text
