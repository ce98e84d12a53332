"""The Python client on Kafka: what a service says reaches intake without a server between."""

import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from penstock_client import Client, Limits

from streams import codec, hashing
from streams.events import routing_key
from streams.logs.kafka import KafkaLog
from streams.logs.kafka_cluster import Cluster
from streams.logs.kafka_records import records_of
from streams.topics import EVENTS

pytestmark = pytest.mark.cluster
PARTITIONS = 5
QUICK = Limits(backoff_min_s=0.05, backoff_max_s=0.5, flush_ms=10, timeout_s=5, exit_s=5)


@pytest.fixture
def topic(kafka_server, topic_prefix):
    log = KafkaLog(Cluster(kafka_server.address, prefix=topic_prefix))
    log.ensure(EVENTS.name, PARTITIONS)
    log.close()
    return topic_prefix + EVENTS.name


@pytest.fixture
def url(kafka_server, topic):
    return f"kafka://{kafka_server.address}/{topic}"


@pytest.fixture
def made(tmp_path):
    """A client of the URL, with folders of its own."""
    clients = []

    def make(url, **arguments):
        folders = {"state_dir": tmp_path / "state", "spool_dir": tmp_path / "spool"}
        given = {"champion": "1", "limits": QUICK} | folders | arguments
        clients.append(Client(url, "m", **given))
        return clients[-1]

    yield make
    for client in clients:
        client.close(0.1)


def answers(client, count, *, start=0):
    for k in range(start, start + count):
        client.record(client.assign(f"u-{k}"), label="x", score=0.5, join_key=f"order-{k}")


def written(server, topic):
    """(partition, event) of everything in the topic, as intake reads it."""
    found = []
    with KafkaConsumer(**server.client(), group_id=None, auto_offset_reset="earliest") as consumer:
        places = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < end for place, end in ends.items()):
            for place, records in consumer.poll(200).items():
                for record in records_of(records, 0):
                    decoded, refused = codec.decode_record(record.value)
                    assert not decoded.bad
                    assert not refused
                    found += [(place.partition, event) for event in decoded.events]
    return found


def ids(found):
    return sorted(e.join_key for _, e in found if type(e).__name__ == "Prediction")


def test_what_is_recorded_is_in_the_partition_that_the_vectors_say(kafka_server, topic, url, made):
    client = made(url)
    answers(client, 1_200)
    client.label(join_key="order-7", label="x")
    client.feedback("thumb", unit_id="u-1", label="up")

    assert client.flush(20), client.stats()
    found = written(kafka_server, topic)

    assert ids(found) == sorted(f"order-{k}" for k in range(1_200))
    assert {type(e).__name__ for _, e in found} == {"Prediction", "Label", "Feedback", "Assigned"}
    for partition, event in found:
        key = routing_key(event)
        assert partition == hashing.partition_of(event.model, key, PARTITIONS)
    told = client.stats()
    assert (told.recorded, told.rejected, told.dropped, told.waiting) == (1_202, 0, 0, 0)
    assert sum(e.assigned for _, e in found if type(e).__name__ == "Assigned") >= 1_200


def test_while_brokers_are_away_nothing_waits_and_events_are_spooled(
    kafka_server, topic, url, made
):
    client = made(url)
    answers(client, 10)
    assert client.flush(20), client.stats()
    (broker,) = kafka_server.nodes
    broker.kill()

    began = time.monotonic()
    answers(client, 2_000, start=10)
    took = time.monotonic() - began
    deadline = time.monotonic() + 30
    while not client.stats().spooled_bytes:
        assert time.monotonic() < deadline, client.stats()
        time.sleep(0.05)
    broker.start()

    assert client.flush(60), client.stats()
    assert took < 2
    assert ids(written(kafka_server, topic)) == sorted(f"order-{k}" for k in range(2_010))


def test_a_topic_that_is_not_there_is_not_made_and_events_wait(kafka_server, url, made):
    client = made(url + "-typo", limits=Limits(timeout_s=1), spool_dir=None)
    answers(client, 3)

    assert not client.flush(3)
    assert client.stats().waiting == 3
    with kafka_server.admin() as admin:
        assert not [name for name in admin.list_topics() if name.endswith("-typo")]


SCRIPT = """
    import os, sys
    from penstock_client import Client, Limits
    client = Client(sys.argv[1], "m", champion="1", state_dir=sys.argv[2], limits=Limits(exit_s=10))
    def say(first, count):
        for k in range(first, first + count):
            client.record(client.assign(), label="x", join_key=f"order-{k}")
    say(0, 100)
    assert client.flush(20), client.stats()
    say(100, 100)
    if os.fork() == 0:
        say(200, 100)  # the child's own, through a producer of its own
        sys.exit()
    os.wait()
    say(300, 100)
"""


def test_a_process_that_ends_and_its_forked_child_send_what_is_left(
    kafka_server, topic, url, tmp_path
):
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), url, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    took = time.monotonic() - began

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert ids(written(kafka_server, topic)) == sorted(f"order-{k}" for k in range(400))
    assert took < 20


def test_the_examples_of_the_page_write_what_is_read(kafka_server, topic):
    page = (Path(__file__).parents[2] / "docs" / "kafka.md").read_text()
    examples = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    for example in examples:
        code = example.replace("broker1:9092", kafka_server.address)
        exec(code.replace("penstock.events", topic), {})

    assert {type(e).__name__ for _, e in written(kafka_server, topic)} == {"Prediction", "Label"}
