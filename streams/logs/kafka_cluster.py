"""How a Kafka cluster is reached, and what its errors are called here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from kafka import errors as kafka_errors

from streams.errors import ConfigError, UnavailableError

REFUSED = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.AuthorizationError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
)


class Cluster(msgspec.Struct, frozen=True):
    """How to reach a cluster, and what this process is called there."""

    servers: str  # host:port, comma separated
    prefix: str = ""  # of topics and groups, where several installations share a cluster
    worker: str = "penstock"  # stable over restarts: a successor takes over its partitions at once
    security: Mapping[str, Any] = {}  # security_protocol, ssl_*, sasl_*: kafka-python's own names
    compression: str = "lz4"

    def topic(self, name: str) -> str:
        """What the cluster calls the topic that the house calls `name`."""
        return self.prefix + name

    def client(self) -> dict[str, Any]:
        """What every client of kafka-python is given."""
        return {
            "bootstrap_servers": self.servers.split(","),
            "client_id": self.worker,
            "bootstrap_timeout_ms": 3_000,  # whoever waits tries again, and can be stopped then
            "reconnect_backoff_max_ms": 1_000,  # 30 s by default; a broker is back sooner
            **self.security,
        }


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Kafka's errors are the house's: what a person must mend, and what waiting may mend."""
    try:
        yield
    except REFUSED as error:
        raise _refusal(what, error) from error
    except kafka_errors.FencedInstanceIdError as error:
        raise ConfigError(
            f"Kafka refuses to {what}: another process has joined under our name",
            why="PENSTOCK_WORKER must be this process's own in the cluster",
            fix="give each worker a name of its own",
        ) from error
    except kafka_errors.UnsupportedCodecError as error:
        raise ConfigError(
            f"Kafka could not {what}: a record is compressed in a way that is not installed here",
            why=str(error),
            fix="pip install 'penstock[kafka]' brings every codec; it is counted then",
        ) from error
    except kafka_errors.KafkaError as error:
        if "AuthorizationFailedError" in str(error):  # the producer wraps it in a bare KafkaError
            raise _refusal(what, error) from error
        raise UnavailableError(
            f"Kafka could not {what}",
            why=f"{type(error).__name__}: {error}",
            fix="see whether its brokers are up and address, certificate and password are right;"
            " it is tried again",
        ) from error


def _refusal(what: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"Kafka refuses to {what}",
        why=f"{type(error).__name__}: {error}",
        fix="check the user, its password and its rights (PENSTOCK_KAFKA_*; docs/kafka.md)",
    )
