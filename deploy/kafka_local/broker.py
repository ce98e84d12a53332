"""A cluster of one node or three, with a folder, ports and certificates of its own."""

import base64
import fcntl
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from deploy.kafka_local import certificates
from deploy.kafka_local.errors import BrokerError
from deploy.kafka_local.jars import kit
from deploy.kafka_local.node import Node
from deploy.kafka_local.ports import free_ports
from deploy.kafka_local.properties import CONTROLLER, HOST, PLAIN, properties, tls_listener, write

# Who may come by TLS, with the password. Where rights are asked for, `stranger` has none.
USERS: Mapping[str, str] = {"worker": "local-worker", "stranger": "local-stranger"}
_SETTLE_MS = 20_000


@dataclass(frozen=True)
class Options:
    """What kind of cluster."""

    nodes: int = 1  # one, or three with three copies of everything
    certificates: tuple[str, ...] = ()  # a TLS + SCRAM-SHA-512 listener for each of these
    acls: bool = False  # rights are asked for of who comes by TLS
    settings: Mapping[str, str] = field(default_factory=dict)  # go over the settings of each node


class Cluster:
    """Real brokers on this machine; as a context it runs inside and is stopped after it."""

    def __init__(
        self,
        folder: Path,
        options: Options | None = None,
        *,
        ports: Sequence[int] = (),
        cache: Path | None = None,
    ) -> None:
        """Nothing runs yet, but Java and the jars are there.

        Args:
            folder: everything it writes is in there.
            options: what kind.
            ports: where each node listens without TLS; free ports if none are given.
            cache: where the jars are kept, as in `jars.kit`.
        """
        self.options = options or Options()
        if self.options.nodes not in (1, 3):
            raise BrokerError(f"one node or three, not {self.options.nodes}")
        self.folder = folder.absolute()
        self._kit = kit(cache)
        self._lock: IO[str] | None = None
        names = [CONTROLLER, PLAIN, *map(tls_listener, self.options.certificates)]
        free = iter(free_ports(self.options.nodes * len(names)))
        given = iter(ports)
        self._ports = {
            number: {
                name: next(given, next(free)) if name == PLAIN else next(free) for name in names
            }
            for number in range(1, self.options.nodes + 1)
        }
        self.nodes = tuple(
            Node(number, self.folder / f"node-{number}", ports=own, kit=self._kit)
            for number, own in self._ports.items()
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where all its nodes listen without TLS."""
        return ",".join(node.address for node in self.nodes)

    @property
    def trusted(self) -> Path:
        """The certificate that a client by TLS is to trust, as PEM."""
        return self.folder / "tls" / "ca.pem"

    def client(
        self,
        user: str | None = None,
        *,
        password: str | None = None,
        certificate: str = certificates.GOOD,
    ) -> dict[str, Any]:
        """How a client of kafka-python comes in: plainly, or by TLS as one of the users.

        Args:
            user: one of USERS; without one there is no TLS.
            password: another than the user's own.
            certificate: the listener that shows this one.
        """
        if user is None:
            return {"bootstrap_servers": self.address.split(",")}
        listener = tls_listener(certificate)
        return {
            "bootstrap_servers": [f"{HOST}:{node.ports[listener]}" for node in self.nodes],
            "security_protocol": "SASL_SSL",
            "ssl_cafile": str(self.trusted),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": user,
            "sasl_plain_password": password or USERS.get(user, ""),
        }

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """An administrator who may do anything."""
        admin = KafkaAdminClient(**self.client())
        try:
            yield admin
        finally:
            admin.close()

    def create(self, topic: str, partitions: int, **settings: str) -> None:
        """The topic is there on all nodes; settings are named with `_` for the dots of Kafka's."""
        configs = {name.replace("_", "."): value for name, value in settings.items()}
        with self.admin() as admin:
            admin.create_topics({topic: {"num_partitions": partitions, "configs": configs}})
            admin.wait_for_topics([topic], timeout_ms=_SETTLE_MS)

    def leader(self, topic: str, partition: int) -> Node:
        """The node that leads this partition now."""
        with self.admin() as admin:
            (told,) = admin.describe_topics([topic])
        leads: dict[int, int] = {
            one["partition_index"]: one["leader_id"] for one in told["partitions"]
        }
        return self.nodes[leads[partition] - 1]

    def start(self) -> None:
        """All nodes answer; who is allowed to may come by TLS."""
        self._claim()
        try:
            self._prepare()
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait()
            if self.options.acls:
                self._grant("worker")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """No process of it is left; its records are."""
        for node in self.nodes:
            node.ask_to_stop()
        for node in self.nodes:
            node.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def wipe(self) -> None:
        """It is stopped, and nothing of it is left in its folder."""
        self.stop()
        self._claim()
        for path in (*self.folder.glob("node-*"), self.folder / "tls"):
            shutil.rmtree(path, ignore_errors=True)
        for name in ("cluster.json", "lock"):
            (self.folder / name).unlink(missing_ok=True)
        self.stop()

    def _claim(self) -> None:
        """The folder is ours until `stop`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise BrokerError(f"{self.folder} is in use by another broker") from None
        self._lock = lock

    def _prepare(self) -> None:
        """Certificates, settings and formatted folders are there."""
        cluster_id = self._identity()
        wanted, stores = self.options.certificates, {}
        if wanted:
            stores = certificates.make(self.folder / "tls", wanted, java=self._kit.java)
        for node in self.nodes:
            node.folder.mkdir(exist_ok=True)
            settings = properties(
                node.number,
                ports=self._ports,
                data=node.data,
                keystores=stores,
                acls=self.options.acls,
            )
            write(node.settings, settings | dict(self.options.settings))
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.format(cluster_id, USERS), self.nodes))

    def _identity(self) -> str:
        """The id of the cluster whose records are in the folder; a new one if there are none."""
        path = self.folder / "cluster.json"
        if not path.exists():
            # A letter in front: an id with a leading dash would be taken for an option.
            name = "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
            path.write_text(json.dumps({"id": name, "nodes": len(self.nodes)}))
        kept = json.loads(path.read_text())
        if kept["nodes"] != len(self.nodes):
            raise BrokerError(
                f"{self.folder} holds a cluster of {kept['nodes']}, not of {len(self.nodes)}: "
                "wipe it, or name another folder"
            )
        return str(kept["id"])

    def _grant(self, user: str) -> None:
        everything = (
            (ResourceType.TOPIC, "*"),
            (ResourceType.GROUP, "*"),
            (ResourceType.CLUSTER, "kafka-cluster"),
        )
        all_of_it, allowed = ACLOperation.ALL, ACLPermissionType.ALLOW
        with self.admin() as admin:
            admin.create_acls(
                [
                    ACL(f"User:{user}", "*", all_of_it, allowed, ResourcePattern(kind, name))
                    for kind, name in everything
                ]
            )
