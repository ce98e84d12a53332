"""The broker that other tests rely on does what a broker does, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from deploy.kafka_local import BrokerError, Cluster, Options
from deploy.kafka_local.ports import free_ports, is_free, listens
from streams.logs.kafka import KafkaLog
from streams.logs.kafka_cluster import Cluster as Reach
from tests.processes import running

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]


def produce(client: dict[str, Any], topic: str, values: list[bytes]) -> None:
    """All of them are acknowledged."""
    with KafkaProducer(**client) as producer:
        for value in [producer.send(topic, value, partition=0) for value in values]:
            value.get(60)


def consume(client: dict[str, Any], topic: str, *, count: int) -> list[bytes]:
    """The first so many records of partition 0, or fewer if no more come within 20 s."""
    found: list[bytes] = []
    with KafkaConsumer(**client, group_id=None, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        deadline = time.monotonic() + 20
        while len(found) < count and time.monotonic() < deadline:
            for records in consumer.poll(200).values():
                found += [record.value for record in records]
    return found


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last)]


def within(seconds: float, holds: Any) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(holds())


def test_what_is_produced_is_consumed(kafka_server, topic_prefix):
    topic = topic_prefix + "events"
    kafka_server.create(topic, 2)

    produce(kafka_server.client(), topic, numbers(0, 1_000))

    assert consume(kafka_server.client(), topic, count=1_000) == numbers(0, 1_000)


def test_a_topic_is_never_made_by_naming_it(kafka_server, topic_prefix):
    with KafkaProducer(**kafka_server.client(), max_block_ms=1_000) as producer:
        with pytest.raises(KafkaTimeoutError):
            producer.send(topic_prefix + "typo", b"").get(5)

        with kafka_server.admin() as admin:
            assert topic_prefix + "typo" not in admin.list_topics()


def test_records_survive_kill_9(kafka_server, topic_prefix):
    topic = topic_prefix + "events"
    kafka_server.create(topic, 1)
    produce(kafka_server.client(), topic, numbers(0, 1_000))
    (node,) = kafka_server.nodes
    before = node.pid

    node.kill()
    gone = not running(before) and not listens(node.ports["PLAINTEXT"])
    node.start()
    produce(kafka_server.client(), topic, numbers(1_000, 1_100))

    assert gone
    assert consume(kafka_server.client(), topic, count=1_100) == numbers(0, 1_100)


def test_retention_passes_within_seconds(kafka_server, topic_prefix):
    topic = topic_prefix + "events"
    kafka_server.create(topic, 1, retention_ms="1000")
    produce(kafka_server.client(), topic, numbers(0, 10))

    with KafkaConsumer(**kafka_server.client(), group_id=None) as consumer:
        first = TopicPartition(topic, 0)
        passed = within(20, lambda: consumer.beginning_offsets([first]) == {first: 10})

    assert passed


@pytest.mark.nightly
def test_three_nodes_lose_nothing_with_their_leader(tmp_path):
    with Cluster(tmp_path, Options(nodes=3)) as cluster:
        cluster.create("events", 3)
        produce(cluster.client(), "events", numbers(0, 500))
        leader = cluster.leader("events", 0)

        leader.kill()
        produce(cluster.client(), "events", numbers(500, 1_000))
        other = cluster.leader("events", 0)
        found = consume(cluster.client(), "events", count=1_000)
        leader.start()

        assert other is not leader
        assert found == numbers(0, 1_000)
        assert all(node.running for node in cluster.nodes)


def test_a_cluster_keeps_its_records_until_it_is_wiped(tmp_path):
    with Cluster(tmp_path) as cluster:
        cluster.create("events", 1)
        produce(cluster.client(), "events", numbers(0, 10))
        with pytest.raises(BrokerError, match="in use"):
            Cluster(tmp_path).start()
    with Cluster(tmp_path) as again:
        kept = consume(again.client(), "events", count=10)

    with pytest.raises(BrokerError, match="a cluster of 1, not of 3"):
        Cluster(tmp_path, Options(nodes=3)).start()
    again.wipe()

    assert kept == numbers(0, 10)
    assert list(tmp_path.iterdir()) == []


def test_stop_leaves_no_process_and_no_port(tmp_path):
    cluster = Cluster(tmp_path)
    cluster.start()
    (node,) = cluster.nodes

    cluster.stop()

    assert not node.running
    assert all(is_free(port) for port in node.ports.values())
    assert subprocess.run(["pgrep", "-f", str(tmp_path)], check=False).returncode == 1


def test_a_broker_that_cannot_start_says_why(tmp_path):
    cluster = Cluster(tmp_path, Options(settings={"num.io.threads": "none"}))

    with pytest.raises(BrokerError, match=r"num\.io\.threads"):
        cluster.start()


@pytest.fixture
def secure_topic(secure_kafka: Cluster) -> Iterator[str]:
    secure_kafka.create("secured", 1)
    yield "secured"
    with secure_kafka.admin() as admin:
        admin.delete_topics(["secured"])


def test_a_user_with_rights_comes_in_by_tls(secure_kafka, secure_topic):
    client = secure_kafka.client("worker")

    produce(client, secure_topic, numbers(0, 100))

    assert consume(client, secure_topic, count=100) == numbers(0, 100)


PRODUCER = """
import json, logging, sys
from kafka import KafkaProducer
logging.basicConfig()
KafkaProducer(**json.loads(sys.argv[1]), bootstrap_timeout_ms=2_000)
"""


def refusal(client: dict[str, Any]) -> str:
    """Why a producer did not come in, from its log; its error says only that it could not.

    A process of its own, for kafka-python leaves sockets open where it is refused.
    """
    command = [sys.executable, "-W", "ignore", "-c", PRODUCER, json.dumps(client)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr


def test_a_wrong_password_is_refused(secure_kafka):
    client = secure_kafka.client("worker", password="a guess")

    said = refusal(client)

    # kafka-python 3.0.12 drops the broker's reason where it comes together with the end.
    assert "invalid credentials" in said or "socket disconnected" in said


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        ("expired", "certificate has expired"),
        ("foreign", "self-signed certificate"),
        ("misnamed", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
)
def test_a_wrong_certificate_is_refused(secure_kafka, certificate, why):
    client = secure_kafka.client("worker", certificate=certificate)

    said = refusal(client)

    assert why in said


def test_a_user_without_rights_is_refused(secure_kafka, secure_topic):
    client = secure_kafka.client("stranger")

    with KafkaProducer(**client) as producer, pytest.raises(TopicAuthorizationFailedError):
        producer.send(secure_topic, b"").get(10)


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """`make kafka` as it runs in a terminal: its process, port and first line."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "deploy.kafka_local", "--port", str(port)]
    env = os.environ | {"TMPDIR": str(tmp_path)}  # after SIGKILL its data stays
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process, port, process.stdout.readline()
        process.kill()


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_in_the_foreground_it_goes_however_it_is_ended(foreground, asked):
    process, port, said = foreground
    running = listens(port)

    os.kill(process.pid, asked)

    assert said.startswith(f"kafka: 127.0.0.1:{port};")
    assert running
    assert process.wait(20) == (-asked if asked == signal.SIGKILL else 0)
    assert within(5, lambda: is_free(port))


@pytest.mark.nightly
def test_topics_made_on_three_nodes_are_known_at_once(tmp_path):
    """To whichever node is asked next: each hears of a new topic in its turn."""
    with Cluster(tmp_path, Options(nodes=3)) as cluster:
        log = KafkaLog(Reach(cluster.address))
        made = [log.ensure(f"topic-{number}", 12) for number in range(12)]
        log.close()

    assert {state.partitions for state in made} == {12}
