"""Services that write to the topic themselves, with any client, form, codec and partitioner."""

import itertools
import json
import random
import time
from collections import Counter

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from sqlalchemy import text

from penstock import topics
from penstock.direct import Direct
from penstock.installation import opened, prepare
from penstock.intake import pipeline
from penstock.settings import ENGINES, Settings
from streams import deadletters, outbox, positions
from streams.closer import Closer
from streams.db.engine import reading
from streams.envelopes import pack
from streams.errors import ConfigError
from streams.relay import Relay
from streams.topics import EVENTS
from tests.cli.conftest import prediction
from tests.crash.story import declare
from tests.streams import spine

pytestmark = pytest.mark.cluster
PATIENCE_S = 60
both_engines = pytest.mark.parametrize("settings", ENGINES, indirect=True)
CODECS = (None, "gzip", "snappy", "lz4", "zstd")
T0 = int(time.time() * 1000) - 30_000  # no later event waits for the log's clock


@pytest.fixture
def settings(kafka_server, topic_prefix, postgres_url, tmp_path, request):
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=postgres_url,
        kafka_servers=kafka_server.address,
        kafka_prefix=topic_prefix,
        engine=getattr(request, "param", ENGINES[0]),
    )
    topics.ensure(settings)
    prepare(settings)
    return settings


@pytest.fixture
def topic(settings):
    return settings.kafka_prefix + EVENTS.name


def producer(settings, **options):
    return KafkaProducer(bootstrap_servers=settings.kafka_servers, **options)


def counted_all(here):
    """Everything in the log is counted, and what was sent on where it went."""
    worker = pipeline(here, owner="w")
    relay = Relay(here.log, here.engine, owner="r", clock=here.clock)
    closer = Closer(here.engine, clock=here.clock)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while worker.step(timeout_s=0.2) or relay.step() or closer.step() or left(here):
            assert time.monotonic() < deadline, left(here)
    finally:
        worker.close()


def left(here):
    with reading(here.engine) as connection:
        standing = positions.standing(connection, consumer="intake", topic=EVENTS.name)
        waiting, _ = outbox.waiting(connection)
    ends = {p: b.end for p, b in here.log.bounds(EVENTS.name).items()}
    return sum(positions.behind(ends, standing).values()) + waiting + len(ends) - len(standing)


def letters(here):
    with reading(here.engine) as connection:
        return Counter((letter.code, letter.field) for letter in deadletters.page(connection))


def answered(here):
    with reading(here.engine) as connection:
        return connection.execute(text("SELECT count(*) FROM answer")).scalar_one()


# --- every form

EVENTS_OF = {
    "prediction": {"output": {"label": "spam", "score": 0.5}, "version": "1"},
    "label": {"label": "ham"},
    "feedback": {"name": "clicked", "value": 1.0},
    "outcome-missing": {"source": "outcome"},
}


def event(kind, number, **fields):
    common = {"type": f"io.penstock.{kind}.v1", "model": "spam", "time": T0 + number}
    return common | EVENTS_OF[kind] | fields


def story(requests):
    """Answers and their shadows, labels before and after them, corrected, by order; feedback."""
    for k in range(requests):
        request, order = f"p-{k}", {"join_key": f"o-{k // 2}"} if k % 4 < 2 else {}
        truth = {"label_id": f"l-{k}", "prediction_id": request} | order
        if k % 3 == 0:
            yield event("label", k, **truth)
        yield event("prediction", k, prediction_id=request, unit_id=f"u-{k}", **order)
        if k % 2:
            yield event("prediction", k, prediction_id=request, version="2", role="shadow", **order)
        if k % 3 == 1:
            yield event("label", k, **truth)
        if k % 5 == 0:
            wrong = {"label_id": f"c-{k}", "supersedes": f"l-{k}", "label": "spam"}
            yield event("label", k + 5, **truth | wrong)
        if order and k % 4 == 0:
            yield event("label", k, label_id=f"j-{k}", source="audit", **order)
        if k % 7 == 0:
            yield event("feedback", k, feedback_id=f"f-{k}", prediction_id=request, **order)
            yield event("feedback", k, feedback_id=f"g-{k}", unit_id=f"u-{k}", route="default")
        if k % 11 == 0:
            yield event("outcome-missing", k, prediction_id=request, **order)


def as_cloudevent(one):
    data = {name: value for name, value in one.items() if name not in ("type", "model")}
    return {"specversion": "1.0", "id": "1", "source": "/t", "type": one["type"],
            "subject": one["model"], "data": data}  # fmt: skip


def records(events, draw):
    """(value, headers) of all of them, each form in turn."""
    forms = itertools.cycle(
        ("one", "array", "lines", "envelope", "structured", "batch", "binary", "printed")
    )
    rest = list(events)
    while rest:
        form, count = next(forms), 1
        if form in ("array", "lines", "envelope", "batch"):
            count = draw.randint(1, 9)
        some, rest = rest[:count], rest[count:]
        headers = []
        match form:
            case "array":
                value = json.dumps(some)
            case "lines":
                value = "\n".join(map(json.dumps, some))
            case "envelope":
                value = pack([json.dumps(one).encode() for one in some]).decode()
            case "structured":
                value = json.dumps(as_cloudevent(some[0]))
            case "batch":
                value = json.dumps([as_cloudevent(one) for one in some])
            case "binary":
                attributes = as_cloudevent(some[0])
                value = json.dumps(attributes.pop("data"))
                headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
                headers.append(("content-type", b"application/json"))
            case "printed":
                value = json.dumps(some[0], indent=2)
            case _:
                value = json.dumps(some[0])
        yield value.encode(), headers


def counts(engine):
    """What was counted, wherever it was, and how many events were sent on on their way there."""
    found = spine.content(engine)
    sent_on = sum(cells["events"] for key, cells in found["cells"].items() if "misrouted" in key[0])
    kept = spine.placeless(found)
    cells = Counter()
    for (what, pane_ms, _), named in kept["cells"].items():
        cells.update({(what, pane_ms, name): count for name, count in named.items()})
    reports = Counter((row["value"], row["event_ms"]) for row in kept["report"])
    rows = {name: kept[name] for name in ("answers", "labels", "orphans", "joins", "dead")}
    return rows | {"cells": cells, "reports": reports}, sent_on


def counted_embedded(events, folder):
    settings = Settings(data_dir=folder)
    prepare(settings)
    with opened(settings, role="intake") as here:
        declare(here.engine, T0)
        assert Direct(here.log).take([json.dumps(one).encode() for one in events]) == []
        counted_all(here)
        return counts(here.engine)


def test_any_form_codec_key_and_partitioner_counts_what_the_embedded_log_counts(
    settings, topic, tmp_path
):
    events, draw = list(story(600)), random.Random(5)
    for part, codec in enumerate(CODECS):
        with producer(settings, compression_type=codec) as service:
            for number, (value, headers) in enumerate(records(events[part::5], draw)):
                key = draw.choice((None, b"k-%d" % number))
                service.send(topic, value, key=key, headers=headers)
            service.flush()

    with opened(settings, role="intake") as here:
        declare(here.engine, T0)
        counted_all(here)
        found, sent_on = counts(here.engine)

    expected, few = counted_embedded(events, tmp_path / "embedded")
    assert found == expected
    assert (len(expected["answers"]), expected["dead"]) == (900, {})
    assert expected["labels"]
    assert expected["reports"]
    assert sent_on > 500 > few  # outcome-missing goes by the id, even where there is an order
    print(f"{len(events)} events, {sent_on} sent on to the partition of their request")


@both_engines
def test_what_is_no_event_is_a_dead_letter_and_stops_nothing(settings, topic):
    good = json.dumps(prediction(0)).encode()
    with producer(settings) as service:
        for value in (b"", b"\xff\xfe", b"[{", b'{"penstock":9}', good):
            service.send(topic, value, partition=0)
        service.send(topic, None, key=b"p-0", partition=0)
        service.send(topic, b"{}", headers=[("ce_specversion", b"\xff")], partition=0)
        service.send(topic, json.dumps(prediction(1)).encode(), partition=0)
        service.flush()

    with opened(settings, role="intake") as here:
        counted_all(here)

        assert answered(here) == 2
        assert letters(here) == {
            ("empty_record", ""): 2, ("bad_encoding", ""): 1, ("malformed_json", ""): 1,
            ("unknown_format", "penstock"): 1, ("missing_field", "type"): 1,
        }  # fmt: skip


@both_engines
def test_of_transactions_what_was_committed_counts_and_their_marks_stop_nothing(settings, topic):
    with producer(settings, transactional_id=f"{topic}-t") as service:
        service.init_transactions()
        for number, (start, ends) in enumerate(
            [(0, service.commit_transaction), (100, service.abort_transaction),
             (200, service.commit_transaction), (300, service.abort_transaction)]
        ):  # fmt: skip
            service.begin_transaction()
            for k in range(start, start + 50):
                service.send(topic, json.dumps(prediction(k)).encode(), partition=k % 2)
            service.flush()
            ends()
            with opened(settings, role="intake") as here:
                if number % 2:  # a worker that begins in between, on a mark
                    counted_all(here)
    with opened(settings, role="intake") as here:
        counted_all(here)
        between = answered(here)
        with producer(settings) as plain:
            plain.send(topic, json.dumps(prediction(400)).encode(), partition=0)
            plain.flush()
        counted_all(here)

        assert between == 100
        assert answered(here) == 101
        assert letters(here) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [("message.timestamp.type", "CreateTime"), ("cleanup.policy", "compact")],
)
def test_a_topic_that_loses_records_or_takes_its_senders_time_is_refused(
    settings, topic, kafka_server, key, value
):
    with kafka_server.admin() as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {key: value})])

    with (
        opened(settings, role="intake") as here,
        pytest.raises(ConfigError, match=f"{key}={value}"),
    ):
        pipeline(here, owner="w")
    with pytest.raises(ConfigError, match=f"{key}={value}") as refused:
        topics.ensure(settings)

    assert "--add-config" in refused.value.fix
