"""Kafka by TLS and SCRAM: who is let in, and what the others are told."""

import dataclasses
import re
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from penstock_client import Client, Limits
from sqlalchemy import delete

from penstock import tailing, topics
from penstock.installation import opened, prepare
from penstock.intake import pipeline
from penstock.listening import Listening
from penstock.settings import Settings
from penstock.webhooks.telling import Teller
from rollout import measurements
from rollout.shadow import Candidate
from rollout.shadow_pass import CONSUMER, Shadow
from streams import files, outbox, registry
from streams.bundles import Bundle
from streams.db.engine import writing
from streams.envelopes import pack
from streams.errors import ConfigError
from streams.logs.kafka_cluster import Cluster
from streams.logs.kafka_reach import why_not
from streams.models import Declaration
from streams.relay import Relay
from streams.tables import position
from streams.topics import DECISIONS, EVENTS, MEASUREMENTS, TOPICS
from streams.versions import Body, add_version
from tests.cli.conftest import lines, prediction
from tests.cluster.conftest import Place
from tests.rollout.versions import BIAS, FEATURES, WEIGHTS
from tests.streams import onnx_files

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


def kept_out(client: dict[str, object]) -> ConfigError:
    """Why a client with these settings of kafka-python is kept out."""
    security = {name: value for name, value in client.items() if name != "bootstrap_servers"}
    error = why_not(Cluster(",".join(client["bootstrap_servers"]), security=security))
    assert isinstance(error, ConfigError), error
    return error


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


def test_a_wrong_password_is_told_with_who_asked_and_what_to_check(place, secure_kafka):
    comes_as(place, secure_kafka.client("worker", password="not-this-one"), "tls-")

    refused = place.run("topics", "list")

    assert refused.returncode == 2, refused.stderr
    assert "does not let user 'worker' in by SCRAM-SHA-512" in refused.stderr
    assert "PENSTOCK_KAFKA_PASSWORD" in refused.stderr
    assert "not-this-one" not in refused.stderr


@pytest.mark.parametrize(
    ("certificate", "said", "fix"),
    [
        ("expired", "certificate has expired", "renew the certificate"),
        ("foreign", "self-signed certificate", "PENSTOCK_KAFKA_CA_FILE"),
        ("misnamed", "is not valid for '127.0.0.1'", "as its certificate does"),
    ],
)
def test_a_certificate_that_is_not_to_be_trusted_is_named_with_the_cause(
    secure_kafka, certificate, said, fix
):
    error = kept_out(secure_kafka.client("worker", certificate=certificate))

    assert "is not to be trusted" in error.message
    assert said in error.message
    assert fix in error.fix


@pytest.mark.parametrize(
    "wrong", [{"sasl_plain_username": "nobody"}, {"sasl_mechanism": "PLAIN"}], ids="-".join
)
def test_a_user_or_mechanism_that_is_not_known_is_named(secure_kafka, wrong):
    client = secure_kafka.client("worker") | wrong

    error = kept_out(client)

    user, by = client["sasl_plain_username"], client["sasl_mechanism"]
    assert f"does not let user {user!r} in by {by}" in error.message


def test_security_that_the_listener_does_not_have_is_told_apart(secure_kafka):
    tls, plain = secure_kafka.client("worker"), secure_kafka.address
    to_plain = tls | {"bootstrap_servers": [plain]}

    said = [
        kept_out(to_plain).message,
        kept_out(tls | {"security_protocol": "PLAINTEXT"}).message,
        kept_out(to_plain | {"security_protocol": "SASL_PLAINTEXT"}).message,
        kept_out(tls | {"security_protocol": "SSL"}).message,
    ]

    address = tls["bootstrap_servers"][0]
    assert said == [
        f"{plain} does not speak TLS, or not with us",
        f"{address} speaks TLS",
        f"{plain} lets everybody in and signs nobody in",
        f"{address} answers and then ends the connection",
    ]


def test_a_certificate_file_that_is_not_there_is_named(place, secure_kafka):
    comes_as(place, secure_kafka.client("worker"), "tls-")
    place.env["PENSTOCK_KAFKA_CA_FILE"] = "/nowhere/ca.pem"

    refused = place.run("topics", "list")

    assert refused.returncode == 2
    assert "PENSTOCK_KAFKA_CA_FILE: there is no file '/nowhere/ca.pem'" in refused.stderr


# --- what each role needs: the table of docs/kafka.md

PREFIX = "rights."
PATIENCE_S = 30
DOC = Path(__file__).parents[2] / "docs" / "kafka.md"
TABLE = re.findall(
    r"^\| `?([^|`]+)`? \| (topic|group) \| `?(\w+)`? \| ([\w, ]+) \|$", DOC.read_text(), re.M
)


def rights(who):
    """What the table gives to one: (kind, name, operation)."""
    return [
        (kind, name, operation)
        for other, kind, name, operations in TABLE
        if other == who
        for operation in operations.split(", ")
    ]


def pattern(kind, name):
    resource = ResourceType[kind.upper()]
    if name == "every":
        return ResourcePattern(resource, PREFIX, ACLResourcePatternType.PREFIXED)
    return ResourcePattern(resource, PREFIX + name)


@pytest.fixture(scope="module")
def granted(secure_kafka):
    """Gives a user who has no rights exactly these."""
    anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    theirs = ACLFilter(
        "User:stranger", None, ACLOperation.ANY, ACLPermissionType.ANY, anything
    )  # fmt: skip

    def grant(given):
        with secure_kafka.admin() as admin:
            admin.delete_acls([theirs])
            admin.create_acls(
                [
                    ACL(
                        "User:stranger", "*", ACLOperation[_constant(operation)],
                        ACLPermissionType.ALLOW, pattern(kind, name),
                    )
                    for kind, name, operation in given
                ]
            )  # fmt: skip
            while len(admin.describe_acls(theirs)[0]) != len(given):
                time.sleep(0.05)

    yield grant
    grant([])


def _constant(operation):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()


def of_user(secure_kafka, user, folder):
    client = secure_kafka.client(user)
    return Settings(
        data_dir=folder,
        kafka_servers=",".join(client["bootstrap_servers"]),
        kafka_prefix=PREFIX,
        kafka_security=client["security_protocol"],
        kafka_ca_file=client["ssl_cafile"],
        kafka_sasl=client["sasl_mechanism"],
        kafka_user=user,
        kafka_password=client["sasl_plain_password"],
        worker="w",
    )


@pytest.fixture(scope="module")
def theirs(secure_kafka, tmp_path_factory):
    """Settings of the user under test; topics and schema are there, and an event to count."""
    folder = tmp_path_factory.mktemp("rights")
    settings = of_user(secure_kafka, "worker", folder)
    topics.ensure(settings)
    prepare(settings)
    with opened(settings) as here:
        here.log.append(EVENTS.name, [(0, lines(prediction(0)))])
        path = onnx_files.saved(folder / "v2.onnx", onnx_files.linear(WEIGHTS, BIAS))
        body = Body(
            (files.store(settings.files_dir, path),), bundle=Bundle(onnx=path.name, inputs=FEATURES)
        )
        with writing(here.engine) as connection:
            model = Declaration(model="spam", task="classification", classes=("ham", "spam"))
            registry.register(connection, model, now_ms=0, by="ann")
            add_version(connection, "spam", "v2", body=body, now_ms=0, by="ann")
    return of_user(secure_kafka, "stranger", folder)


def work(settings):
    with opened(settings, role="intake") as here:
        worker = pipeline(here, owner="w")
        deadline = time.monotonic() + PATIENCE_S
        try:
            while not worker._held.positions:
                worker.step(timeout_s=0.2)
                assert time.monotonic() < deadline
            while worker.step(timeout_s=0.5):
                pass
        finally:
            worker.close()


def shadow(settings):
    """The first event is read, and answered once more."""

    def begin(version, model):
        return Candidate(settings.files_dir, version, model, seconds=time.monotonic)

    with opened(settings, role="shadow") as here:
        with writing(here.engine) as connection:
            connection.execute(delete(position).where(position.c.consumer == CONSUMER))
        runner = Shadow(
            here.log, here.engine, owner="s", clock=here.clock, begin=begin,
            seconds=time.monotonic, named=[("spam", "v2")],
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        try:
            while not runner.tallies or not sum(t.errors for t in runner.tallies.values()):
                runner.step(timeout_s=0.2)
                assert time.monotonic() < deadline
        finally:
            runner.close()


def control(settings):
    """Everything that the relay may have to send, and what control hears of."""
    with opened(settings, role="control") as here:
        body = pack([])
        with writing(here.engine) as connection:
            messages = [outbox.Message(f"{time.time()}", t, "k", body, 0) for t in TOPICS]
            outbox.put(connection, messages, now_ms=here.clock.wall_ms())
        here.log.bounds(EVENTS.name)
        while Relay(here.log, here.engine, owner="r", clock=here.clock).step():
            pass
        for topic, consumer, handle in (
            (MEASUREMENTS, "rollout", measurements.handle),
            (DECISIONS, "webhooks", Teller(here.clock).handle),
        ):
            hear(Listening(here, topic, consumer=consumer, owner="c", handle=handle))


def hear(listening):
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not listening.step():
            assert time.monotonic() < deadline
    finally:
        listening.close()


def web(settings):
    with opened(settings, role="web") as here:
        here.log.bounds(EVENTS.name)
        here.log.append(EVENTS.name, [(1, lines(prediction(1)))])


def service(settings):
    """With the client, and with a producer of its own."""
    security = {
        "security_protocol": settings.kafka_security, "ssl_cafile": settings.kafka_ca_file,
        "sasl_mechanism": settings.kafka_sasl, "sasl_plain_username": settings.kafka_user,
        "sasl_plain_password": settings.kafka_password,
    }  # fmt: skip
    topic = PREFIX + EVENTS.name
    url = f"kafka://{settings.kafka_servers}/{topic}"
    client = Client(url, "m", champion="1", security=security, limits=Limits(exit_s=0.1))
    try:
        client.feedback("thumb", unit_id="u", label="up")
        if not client.flush(5):
            raise ConfigError(str(client.stats().last_fault))
    finally:
        client.close()
    with KafkaProducer(bootstrap_servers=settings.kafka_servers, **security) as producer:
        producer.send(topic, lines(prediction(2))).get(10)


def tail(settings):
    with opened(settings) as here:
        assert tailing.recent(here.log, count=1)


ROLES = {
    "a service": service,
    "penstock worker": work,
    "penstock control": control,
    "penstock shadow": shadow,
    "penstock web": web,
    "penstock db upgrade": prepare,
    "penstock topics ensure": topics.ensure,
    "penstock topics list": topics.listed,
    "penstock events tail": tail,
}


def refusal(role, settings):
    """What a role is told without a right that it needs; nothing if it needs it not."""
    try:
        role(settings)
    except ConfigError as error:
        return f"{error.message} {error.why}"
    return ""


@pytest.mark.parametrize("who", ROLES)
def test_each_role_needs_the_rights_of_its_rows_and_no_others(theirs, granted, who):
    needed = rights(who)
    granted(needed)
    ROLES[who](theirs)

    for one in needed:
        granted([other for other in needed if other != one])
        assert refusal(ROLES[who], theirs), f"{who} does not need {one}"


def test_faust_needs_the_same_rights(theirs, granted):
    faust, needed = dataclasses.replace(theirs, engine="faust"), rights("penstock worker")
    granted(needed)
    work(faust)

    for one in needed:
        granted([other for other in needed if other != one])
        assert refusal(work, faust), f"a worker with Faust does not need {one}"


def test_every_row_of_the_table_is_tested():
    assert {who for who, *_ in TABLE} == ROLES.keys()
