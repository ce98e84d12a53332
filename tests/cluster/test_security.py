"""Kafka by TLS and SCRAM: who is let in, and what the others are told."""

import pytest

from tests.cluster.conftest import Place

pytestmark = pytest.mark.cluster


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path / "data", 1)
    yield place
    place.end()


def comes_as(place, client: dict[str, object], prefix: str) -> None:
    """The next commands use these settings of kafka-python, under the names of ours."""
    place.env |= {
        "PENSTOCK_KAFKA_SERVERS": ",".join(client["bootstrap_servers"]),
        "PENSTOCK_KAFKA_PREFIX": prefix,
        "PENSTOCK_KAFKA_SECURITY": str(client["security_protocol"]),
        "PENSTOCK_KAFKA_CA_FILE": str(client["ssl_cafile"]),
        "PENSTOCK_KAFKA_SASL": str(client["sasl_mechanism"]),
        "PENSTOCK_KAFKA_USER": str(client["sasl_plain_username"]),
        "PENSTOCK_KAFKA_PASSWORD": str(client["sasl_plain_password"]),
    }


def test_a_user_with_rights_makes_topics_by_tls(place, secure_kafka):
    comes_as(place, secure_kafka.client("worker"), "tls-")

    made = place.run("topics", "ensure")

    assert made.returncode == 0, made.stderr
    assert "tls-" not in made.stdout  # the house's own names


def test_a_user_without_rights_is_told_so(place, secure_kafka):
    comes_as(place, secure_kafka.client("stranger"), "tls-")

    refused = place.run("topics", "ensure")

    assert refused.returncode == 2, refused.stderr
    assert "Kafka refuses to" in refused.stderr
    assert "check the user, its password and its rights" in refused.stderr


@pytest.mark.parametrize("wrong", ["password", "certificate"])
def test_a_wrong_password_or_certificate_fails_and_says_what_to_look_at(place, secure_kafka, wrong):
    other = {"password": {"password": "wrong"}, "certificate": {"certificate": "expired"}}[wrong]
    comes_as(place, secure_kafka.client("worker", **other), "tls-")

    refused = place.run("topics", "list")

    assert refused.returncode in (1, 2), refused.stderr
    assert "password" in refused.stderr


def test_a_certificate_file_that_is_not_there_is_named(place, secure_kafka):
    comes_as(place, secure_kafka.client("worker"), "tls-")
    place.env["PENSTOCK_KAFKA_CA_FILE"] = "/nowhere/ca.pem"

    refused = place.run("topics", "list")

    assert refused.returncode == 2
    assert "PENSTOCK_KAFKA_CA_FILE: there is no file '/nowhere/ca.pem'" in refused.stderr
