"""What the client knows of Kafka without a broker; with one: `tests/cluster/test_client.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from penstock_client import Client
from penstock_client.kafka_transport import partition_of

from streams import codec, hashing
from streams.events import routing_key
from tests.streams import event_strategies as es

VECTORS = Path(__file__).parents[2] / "docs" / "vectors" / "hashes.json"
URL = "kafka://127.0.0.1:1/penstock.events"


def test_partitions_are_those_of_the_published_vectors():
    for vector in json.loads(VECTORS.read_text())["partition"]:
        event = {"type": "t", "model": vector["model"], "prediction_id": vector["key"]}
        found = partition_of(json.dumps(event).encode(), vector["partitions"])

        assert found == vector["partition"]


@given(es.events)
def test_an_event_goes_where_ingest_would_send_it(event):
    line = json.dumps(event).encode()
    (read,) = codec.decode([line]).events

    assert partition_of(line, 12) == hashing.partition_of(read.model, routing_key(read), 12)


@pytest.mark.parametrize("url", ["kafka://host:9092", "kafka:///topic", "kafka://h/a/b"])
def test_a_url_without_brokers_or_topic_is_refused(url):
    with pytest.raises(ValueError, match="must be kafka://host:9092,host:9092/topic"):
        Client(url, "m")


def test_a_key_is_for_http_and_security_for_kafka():
    with pytest.raises(ValueError, match="Kafka knows no API keys"):
        Client(URL, "m", key="ps_1_s")
    with pytest.raises(ValueError, match="over HTTP a key says who we are"):
        Client("http://127.0.0.1:1", "m", security={})


AWAY = f"""
from penstock_client.kafka_transport import KafkaTransport
reply = KafkaTransport({URL!r}, security={{}}, timeout_s=0.2).post([b'{{"type":"t","model":"m"}}'])
print(reply.fate.name)
"""


def test_brokers_that_are_away_are_asked_again_later():
    # A process of its own, for kafka-python leaves sockets open where it finds nobody.
    command = [sys.executable, "-W", "ignore", "-c", AWAY]

    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)

    assert done.stdout == "LATER\n"
