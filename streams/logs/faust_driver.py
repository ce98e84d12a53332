"""Faust, set up to do nothing but read: no web server, no tables, no topics of its own."""

import logging
import ssl
from collections.abc import Mapping
from typing import Any, Protocol

import faust
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types.auth import CredentialsT
from mode.threads import ServiceThread, WorkerThread

from streams.logs.kafka_cluster import Cluster

FETCH_WAIT_MS = 500  # how long brokers hold a fetch that finds nothing; a seek waits for it
SETTINGS: Mapping[str, Any] = {
    "autodiscover": False,
    "web_enabled": False,
    "topic_disable_leader": True,
    "topic_allow_declare": False,
    "store": "memory://",
    "table_standby_replicas": 0,
    "stream_wait_empty": False,
    "stream_buffer_maxsize": 256,  # envelopes, which are large
    "consumer_auto_offset_reset": "earliest",  # a jump shows in the offsets, and is looked into
    "consumer_max_fetch_size": 4 << 20,
    "broker_max_poll_records": 500,
    "broker_session_timeout": 10.0,
    "broker_heartbeat_interval": 3.0,
}

# They tell each trouble several times, with tracebacks; `FaustApp.failure` tells the one that ends.
for _name in ("faust", "mode", "aiokafka", __name__, "streams.logs.faust_app"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


class Rebalances(Protocol):
    """Who is told of an app's rebalances."""

    def rebalance_began(self) -> None:
        """Nothing is ours until it ends; called in a thread of Faust's own."""

    def rebalance_ended(self) -> None:
        """Faust has its partitions, stands at the committed offsets, and fetches."""


def new_app(cluster: Cluster, *, group: str, folder: str, told: Rebalances) -> faust.App:
    """An app that joins the group as this worker; Faust makes `folder`, and keeps nothing in it."""
    app = _App(
        group,
        broker=[f"kafka://{server}" for server in cluster.servers.split(",")],
        broker_client_id=cluster.worker,
        broker_credentials=_credentials(cluster.security),
        consumer_group_instance_id=cluster.worker,
        datadir=folder,
        TableManager=_NoTables,
        **SETTINGS,
    )
    app.told = told
    return app


class _Worker(WorkerThread):
    """Keeps no process: one that joins a group cannot stop until the group has answered."""

    def __init__(self, service: ServiceThread, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True


class _Thread(driver.AIOKafkaConsumerThread):
    """Reads as our other engine does, which Faust has no settings for."""

    Worker = _Worker

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer: Any = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):
    Consumer = _Consumer


class _NoTables(TableManager):
    """Does not wait a second, at each start, for tables that are still to be declared."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _App(faust.App):
    """Tells of rebalances itself.

    Sensors are never told the end of one that begins while they are told the end of the one before:
    the two come from different threads, and share what Faust keeps for sensors.
    """

    told: Rebalances

    def on_rebalance_start(self) -> None:
        self.told.rebalance_began()
        super().on_rebalance_start()

    def on_rebalance_end(self) -> None:
        super().on_rebalance_end()
        self.told.rebalance_ended()

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)


def _credentials(security: Mapping[str, Any]) -> CredentialsT | None:
    """Faust's form of kafka-python's settings."""
    protocol = security.get("security_protocol", "PLAINTEXT")
    context = None
    if protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=security.get("ssl_cafile"))
        if certificate := security.get("ssl_certfile"):
            context.load_cert_chain(certificate, security.get("ssl_keyfile"))
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=security["sasl_mechanism"],
            username=security["sasl_plain_username"],
            password=security["sasl_plain_password"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
