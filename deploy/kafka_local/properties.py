"""The settings file of a node."""

from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"
CONTROLLER = "CONTROLLER"
PLAIN = "PLAINTEXT"
STORE_PASSWORD = "penstock-local"  # noqa: S105 - keystores of a machine's own certificates

# Small enough for two cores; what runs out or fails over does so within seconds.
_BASE = {
    "process.roles": "broker,controller",
    "controller.listener.names": CONTROLLER,
    "inter.broker.listener.name": PLAIN,
    "auto.create.topics.enable": "false",
    "num.partitions": "4",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "log.segment.bytes": "16777216",
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.timeout.ms": "500",
}


def tls_listener(certificate: str) -> str:
    """The name of the listener that shows this certificate."""
    return f"TLS_{certificate.upper()}"


def properties(
    number: int,
    *,
    ports: Mapping[int, Mapping[str, int]],
    data: Path,
    keystores: Mapping[str, Path],
    acls: bool,
) -> dict[str, str]:
    """The settings of node `number` of a cluster.

    Args:
        number: from 1.
        ports: the port of each listener of each node of the cluster.
        data: where it keeps its records.
        keystores: a keystore for each certificate that is shown.
        acls: rights are asked for; who comes without TLS may do anything.
    """
    own = ports[number]
    copies, in_sync = (3, 2) if len(ports) >= 3 else (1, 1)
    listeners = {name: f"{name}://{HOST}:{port}" for name, port in own.items()}
    voters = (f"{node}@{HOST}:{names[CONTROLLER]}" for node, names in ports.items())
    protocols = {CONTROLLER: "PLAINTEXT", PLAIN: "PLAINTEXT"}
    protocols |= {tls_listener(certificate): "SASL_SSL" for certificate in keystores}
    told = {
        "node.id": str(number),
        "log.dirs": str(data),
        "controller.quorum.voters": ",".join(voters),
        "listeners": ",".join(listeners.values()),
        "advertised.listeners": ",".join(
            address for name, address in listeners.items() if name != CONTROLLER
        ),
        "listener.security.protocol.map": ",".join(map(":".join, protocols.items())),
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(in_sync),
    }
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        told[f"{topic}.replication.factor"] = str(copies)
    for topic in ("transaction.state.log", "share.coordinator.state.topic"):
        told[f"{topic}.min.isr"] = str(in_sync)
    if acls:
        told["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        told["super.users"] = "User:ANONYMOUS"
    for certificate, keystore in keystores.items():
        told |= _tls(certificate, keystore)
    return _BASE | told


def _tls(certificate: str, keystore: Path) -> dict[str, str]:
    prefix = f"listener.name.{tls_listener(certificate).lower()}"
    return {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{prefix}.ssl.keystore.type": "PKCS12",
        f"{prefix}.ssl.keystore.location": str(keystore),
        f"{prefix}.ssl.keystore.password": STORE_PASSWORD,
        f"{prefix}.ssl.key.password": STORE_PASSWORD,
        f"{prefix}.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
    }


def write(path: Path, settings: Mapping[str, str]) -> None:
    """The file holds the settings, one a line."""
    path.write_text("".join(f"{name}={value}\n" for name, value in sorted(settings.items())))
