"""What keeps us from a cluster, where there is none: no broker is needed for these."""

import socket
import threading

import pytest

from streams.errors import ConfigError, UnavailableError
from streams.logs import kafka_reach
from streams.logs.kafka import KafkaLog
from streams.logs.kafka_cluster import Cluster
from streams.logs.kafka_reach import why_not
from tests.cli.conftest import free_port


@pytest.fixture
def mute():
    """Listens, takes what comes, and ends the connection without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                with taken:
                    taken.recv(4096)

        threading.Thread(target=hang_up, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_an_address_where_nobody_listens_is_named():
    address = f"127.0.0.1:{free_port()}"

    error = why_not(Cluster(address))

    assert isinstance(error, UnavailableError)
    assert error.message == f"Kafka could not be reached at {address}: nobody listens there"


def test_a_name_that_nobody_knows_is_told_from_an_address_without_a_listener():
    assert "its name is not known" in why_not(Cluster("nowhere.invalid:9092")).message


def test_an_address_without_a_port_is_the_settings_fault():
    error = why_not(Cluster("kafka-1"))

    assert isinstance(error, ConfigError)
    assert "PENSTOCK_KAFKA_SERVERS" in error.message


def test_what_is_not_kafka_is_said_to_be_something_else(mute):
    error = why_not(Cluster(mute))

    assert isinstance(error, UnavailableError)
    assert f"{mute}: who listens there does not answer as Kafka does" in error.message


def test_of_several_addresses_what_a_person_must_mend_comes_first(mute):
    away = f"127.0.0.1:{free_port()}"
    security = {"security_protocol": "SSL"}

    error = why_not(Cluster(f"{away},{mute}", security=security))

    assert isinstance(error, ConfigError)
    assert f"{mute} does not speak TLS" in error.message


def test_a_certificate_of_ours_that_cannot_be_read_is_named(mute, tmp_path):
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    security = {"security_protocol": "SSL", "ssl_cafile": str(broken)}

    error = why_not(Cluster(mute, security=security))

    assert isinstance(error, ConfigError)
    assert "PENSTOCK_KAFKA_CA_FILE" in error.fix


def test_a_log_says_why_at_its_first_use(monkeypatch):
    monkeypatch.setattr(kafka_reach, "PATIENCE_S", 0.5)
    log = KafkaLog(Cluster(f"127.0.0.1:{free_port()}"))

    with pytest.raises(UnavailableError, match="nobody listens there"):
        log.state("events")
