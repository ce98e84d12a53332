"""Why a Kafka cluster cannot be reached: kafka-python itself says only that it could not.

Asked after the fact, one address after the other: is the name known, does somebody listen, does
TLS come about, does it answer as Kafka does, does it let us in.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from streams.errors import ConfigError, Error, UnavailableError
from streams.logs.kafka_cluster import Cluster

PATIENCE_S = 2.0  # for each step at each address
UNKNOWN_SIGNERS = {18, 19, 20, 21}  # OpenSSL's numbers of what is wrong with a certificate
OTHER_NAMES = {62, 64}
SIGN_IN_TRIES = 2  # a broker that goes away just then looks the same


@contextmanager
def reaching(cluster: Cluster) -> Iterator[None]:
    """A client that cannot reach the cluster fails with the cause."""
    try:
        yield
    except (kafka_errors.KafkaTimeoutError, kafka_errors.KafkaConnectionError) as error:
        raise why_not(cluster) from error


def why_not(cluster: Cluster) -> Error:
    """What keeps us out; of several addresses, what a person must mend comes first."""
    found = [_tried(cluster, address.strip()) for address in cluster.servers.split(",")]
    return next((error for error in found if isinstance(error, ConfigError)), found[0])


def _tried(cluster: Cluster, address: str) -> Error:
    try:
        _place(address)
        _listens(address)
        if "SSL" in _protocol(cluster):
            _speaks_tls(cluster, address)
        _speaks_kafka(cluster, address)
    except Error as error:
        return error
    return UnavailableError(
        f"Kafka could not be reached at {address}",
        why="it did not answer in time, and does now",
        fix="nothing: it is tried again",
    )


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(
            f"PENSTOCK_KAFKA_SERVERS: {address!r} is not host:port", fix="for example kafka-1:9092"
        )
    return host.strip("[]"), int(port)


def _listens(address: str) -> None:
    try:
        socket.create_connection(_place(address), timeout=PATIENCE_S).close()
    except OSError as error:
        if isinstance(error, socket.gaierror):
            why, fix = "its name is not known", "correct PENSTOCK_KAFKA_SERVERS, or the name server"
        elif isinstance(error, ConnectionRefusedError):
            why, fix = "nobody listens there", "start its brokers, or correct the address"
        else:
            why, fix = error.strerror or "no answer", "see whether a firewall lets us through"
        raise UnavailableError(
            f"Kafka could not be reached at {address}: {why}", why=str(error), fix=fix
        ) from error


def _speaks_tls(cluster: Cluster, address: str) -> None:
    host, port = _place(address)
    context = _context(cluster)
    try:
        with (
            socket.create_connection((host, port), timeout=PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return
    except ssl.SSLCertVerificationError as error:
        raise _distrusted(address, error) from error
    except (ssl.SSLError, ConnectionResetError) as error:
        raise ConfigError(
            f"{address} does not speak TLS, or not with us",
            why=str(error),
            fix="name the port of a TLS listener, or correct PENSTOCK_KAFKA_SECURITY; where the"
            " brokers ask for a certificate, set PENSTOCK_KAFKA_CERT_FILE and _KEY_FILE",
        ) from error
    except OSError as error:
        raise UnavailableError(f"Kafka could not be reached at {address}: {error}") from error


def _context(cluster: Cluster) -> ssl.SSLContext:
    given = cluster.security
    try:
        context = ssl.create_default_context(cafile=given.get("ssl_cafile"))
        if "ssl_certfile" in given:
            context.load_cert_chain(given["ssl_certfile"], given.get("ssl_keyfile"))
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            "a certificate or key of ours cannot be read",
            why=str(error),
            fix="PENSTOCK_KAFKA_CA_FILE, _CERT_FILE and _KEY_FILE are PEM files; the key has no"
            " password and belongs to the certificate",
        ) from error
    return context


def _distrusted(address: str, error: ssl.SSLCertVerificationError) -> ConfigError:
    if error.verify_code in UNKNOWN_SIGNERS:
        fix = "set PENSTOCK_KAFKA_CA_FILE to the certificate of who signed it"
    elif error.verify_code in OTHER_NAMES:
        fix = "name the broker in PENSTOCK_KAFKA_SERVERS as its certificate does, or renew that"
    else:
        fix = "renew the certificate of the broker, and see whether our clock is right"
    return ConfigError(
        f"the certificate of {address} is not to be trusted: {error.verify_message.rstrip('.')}",
        why="anybody could read and change what is sent there",
        fix=fix,
    )


def _speaks_kafka(cluster: Cluster, address: str) -> None:
    for _ in range(SIGN_IN_TRIES):
        error, answered = _asked(cluster, address)
        if error is None:
            return
        if isinstance(error, kafka_errors.IllegalSaslStateError):
            raise ConfigError(
                f"{address} lets everybody in and signs nobody in",
                why=f"PENSTOCK_KAFKA_SECURITY is {_protocol(cluster)}",
                fix="name the port of a SASL listener, or set PENSTOCK_KAFKA_SECURITY to SSL or"
                " PLAINTEXT",
            )
        if not answered:
            raise _stranger(cluster, address, error)
    if "SASL" not in _protocol(cluster):
        raise ConfigError(
            f"{address} answers and then ends the connection",
            why=f"PENSTOCK_KAFKA_SECURITY is {_protocol(cluster)}, and it may want more",
            fix="ask who runs it for the right PENSTOCK_KAFKA_SECURITY",
        )
    raise ConfigError(
        f"{address} does not let user {cluster.security['sasl_plain_username']!r} in by"
        f" {cluster.security['sasl_mechanism']}",
        why="the user, the password or the mechanism is not what it expects",
        fix="check PENSTOCK_KAFKA_USER, PENSTOCK_KAFKA_PASSWORD and PENSTOCK_KAFKA_SASL",
    )


def _asked(cluster: Cluster, address: str) -> tuple[Exception | None, bool]:
    """(what went wrong with a request, whether it had answered as Kafka does before)."""
    net = NetworkSelector()
    manager = KafkaConnectionManager(net, **cluster.client() | {"bootstrap_servers": [address]})
    connections: list[Any] = []

    async def ask() -> None:
        (broker,) = manager.cluster.bootstrap_brokers()
        connection = manager.get_connection(
            broker.node_id, timeout_ms=PATIENCE_S * 1000, pop_on_close=False,
            refresh_metadata_on_err=False, reset_backoff_on_connect=False,
        )  # fmt: skip
        connections.append(connection)
        await connection
        await manager.cluster.refresh_metadata(broker.node_id)

    try:
        net.run(ask)
    except Exception as error:  # it is the answer: why none came
        return error, any(c.broker_version_data is not None for c in connections)
    finally:
        manager.close()
        net.close()
    return None, True


def _stranger(cluster: Cluster, address: str, error: Exception) -> Error:
    """Somebody listens, but does not answer a first question as Kafka does."""
    if "SSL" not in _protocol(cluster) and _has_tls(address):
        return ConfigError(
            f"{address} speaks TLS",
            why=f"PENSTOCK_KAFKA_SECURITY is {_protocol(cluster)}",
            fix="set it to SSL or SASL_SSL, or name the port of another listener",
        )
    return UnavailableError(
        f"Kafka could not be reached at {address}: who listens there does not answer as Kafka does",
        why=f"{type(error).__name__}: {error}",
        fix="correct the address if it is another program's; it is tried again",
    )


def _has_tls(address: str) -> bool:
    """Whether a handshake comes about, whoever it is with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(_place(address), timeout=PATIENCE_S) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False


def _protocol(cluster: Cluster) -> str:
    return str(cluster.security.get("security_protocol", "PLAINTEXT"))
