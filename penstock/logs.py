"""Which log an installation has: a file of its own, or topics on a Kafka cluster."""

import os
from typing import Any

from penstock.settings import Settings
from streams.db.clock import Clock
from streams.errors import ConfigError
from streams.logs.base import Log
from streams.logs.embedded import EmbeddedLog

FILES = {
    "ssl_cafile": "kafka_ca_file",
    "ssl_certfile": "kafka_cert_file",
    "ssl_keyfile": "kafka_key_file",
}


def open_log(settings: Settings, *, clock: Clock, role: str = "cli") -> Log:
    """The log of this installation.

    Raises ConfigError when Kafka is asked for but not installed, or cannot have a fast clock.
    """
    if not settings.kafka_servers:
        return EmbeddedLog(settings.log_path, clock=clock)
    if clock.speed != 1:
        raise ConfigError(
            "a fast clock needs the embedded log",
            why="Kafka's brokers stamp records with the wall's time",
            fix="leave PENSTOCK_SPEED or PENSTOCK_KAFKA_SERVERS unset",
        )
    try:
        from streams.logs.kafka import KafkaLog
        from streams.logs.kafka_cluster import Cluster
    except ImportError as missing:
        raise ConfigError(
            "PENSTOCK_KAFKA_SERVERS is set, but the client for Kafka is not installed",
            why=str(missing),
            fix="pip install 'penstock[kafka]'",
        ) from missing
    cluster = Cluster(
        settings.kafka_servers,
        prefix=settings.kafka_prefix,
        worker=settings.worker or f"{os.uname().nodename}-{role}",
        security=_security(settings),
        compression="" if settings.kafka_compression == "none" else settings.kafka_compression,
    )
    if settings.engine == "faust" and role == "intake":
        return _faust_log(cluster)
    return KafkaLog(cluster)


def _faust_log(cluster: Any) -> Log:
    try:
        from streams.logs.faust import FaustLog
    except ImportError as missing:
        raise ConfigError(
            "the engine faust is asked for, but Faust is not installed",
            why=str(missing),
            fix="pip install 'penstock[faust]', or --engine kafka-python",
        ) from missing
    return FaustLog(cluster)


def _security(settings: Settings) -> dict[str, Any]:
    """In kafka-python's own names; a file that is not there is named before anybody connects."""
    given: dict[str, Any] = {"security_protocol": settings.kafka_security}
    for option, field in FILES.items():
        if path := getattr(settings, field):
            if not os.path.exists(path):
                raise ConfigError(f"PENSTOCK_{field.upper()}: there is no file {path!r}")
            given[option] = path
    if settings.kafka_security.startswith("SASL"):
        if not (settings.kafka_sasl and settings.kafka_user and settings.kafka_password):
            raise ConfigError(
                f"PENSTOCK_KAFKA_SECURITY={settings.kafka_security} needs a user",
                fix="set PENSTOCK_KAFKA_SASL, PENSTOCK_KAFKA_USER and PENSTOCK_KAFKA_PASSWORD",
            )
        given |= {
            "sasl_mechanism": settings.kafka_sasl,
            "sasl_plain_username": settings.kafka_user,
            "sasl_plain_password": settings.kafka_password,
        }
    return given
