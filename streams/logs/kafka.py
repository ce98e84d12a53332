"""The log on a Kafka cluster, by kafka-python.

Kafka's group says which partitions are ours and nothing more: where each goes on stands in the
database, under a fence. What is committed to Kafka is for tools that show lag.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from streams.errors import ConfigError, ConflictError, InputError
from streams.logs.base import Bounds, Kept, Reader, TopicState
from streams.logs.kafka_cluster import Cluster, answering
from streams.logs.kafka_reach import reaching
from streams.logs.kafka_reader import KafkaReader

SETTLE_S = 5.0  # how long brokers may take to hear of a new topic
SEND_S = 15.0  # how long records may wait for their brokers: a new leader takes up to 11
SETTINGS_TOLD = ("retention.ms", "retention.bytes", "min.insync.replicas")
FIT: Mapping[str, str] = {
    "cleanup.policy": "delete",  # compaction would take events whose keys are alike
    "message.timestamp.type": "LogAppendTime",  # the log's clock, not the sender's
}
RECORD_BYTES = 8 << 20  # the largest record: an envelope of the largest body, and its header


class KafkaLog:
    """Topics of one cluster. Appending is idempotent and waits for the in-sync replicas.

    An append that raises UnavailableError may have been taken in part: every event has its own
    key, so sending again is safe. Safe between threads.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._asker: KafkaAdminClient | None = None
        self._sender: KafkaProducer | None = None
        self._partitions: dict[str, int] = {}

    def ensure(
        self,
        topic: str,
        partitions: int,
        *,
        retention_ms: int | None = None,
        retention_bytes: int | None = None,
    ) -> TopicState:
        """As `Log.ensure`; an existing topic keeps its retention: `penstock topics` tells it."""
        configs = {
            **FIT,
            "max.message.bytes": str(RECORD_BYTES),
            "retention.ms": str(-1 if retention_ms is None else retention_ms),
            # Kafka's is of each partition, ours of the topic.
            "retention.bytes": str(
                -1 if retention_bytes is None else -(-retention_bytes // partitions)
            ),
        }
        with answering(f"make the topic {topic}"), suppress(TopicAlreadyExistsError):
            self._admin().create_topics(
                {self._cluster.topic(topic): {"num_partitions": partitions, "configs": configs}},
                wait_for_metadata=True,
            )
        state = self._made(topic)
        if state.partitions != partitions:
            raise ConflictError(
                f"topic {topic!r} has {state.partitions} partitions, not {partitions}",
                why="the number of partitions is fixed when a topic is made",
            )
        self._refuse_unfit(topic)
        return state

    def state(self, topic: str) -> TopicState:
        with answering(f"describe the topic {topic}"):
            (told,) = self._admin().describe_topics([self._cluster.topic(topic)])
            if told["error_code"] == UnknownTopicOrPartitionError.errno:
                raise InputError(
                    f"there is no topic {topic!r}",
                    field="topic",
                    rule="unknown",
                    fix="penstock topics ensure",
                )
            if told["error_code"]:
                raise for_code(told["error_code"])(self._cluster.topic(topic))
        state = TopicState(topic, str(told["topic_id"]), len(told["partitions"]))
        self._partitions[topic] = state.partitions
        return state

    def append(self, topic: str, values: Sequence[tuple[int, bytes]]) -> list[int]:
        count = self._partitions.get(topic) or self.state(topic).partitions
        for partition, _ in values:
            if not 0 <= partition < count:
                raise InputError(
                    f"{topic!r} has partitions 0 to {count - 1}, not {partition}",
                    field="partition",
                    rule="range",
                )
        deadline = time.monotonic() + SEND_S
        with answering(f"append to {topic}"):
            sender = self._producer()
            name = self._cluster.topic(topic)
            futures = [sender.send(name, value=value, partition=p) for p, value in values]
            sender.flush(timeout=SEND_S)
            left_s = max(0.0, deadline - time.monotonic())
            return [int(future.get(timeout=left_s).offset) for future in futures]

    def bounds(self, topic: str) -> dict[int, Bounds]:
        name, count = self._cluster.topic(topic), self.state(topic).partitions
        places = [TopicPartition(name, partition) for partition in range(count)]
        with answering(f"tell the offsets of {topic}"):
            begin, end = (
                self._admin().list_partition_offsets(dict.fromkeys(places, spec))
                for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
            )
        return {place.partition: Bounds(begin[place].offset, end[place].offset) for place in places}

    def kept(self, topic: str) -> Kept:
        told, partitions = self._settings(topic), self.state(topic).partitions
        retention_ms, retention_bytes, min_insync = (int(told[key]) for key in SETTINGS_TOLD)
        return Kept(
            retention_ms=None if retention_ms < 0 else retention_ms,
            retention_bytes=None if retention_bytes < 0 else retention_bytes * partitions,
            min_insync=min_insync,
        )

    def reader(self, topic: str, *, group: str | None) -> Reader:
        """As `Log.reader`. Raises ConfigError when a group is to count a topic unfit for that."""
        state = self.state(topic)
        if group is None:
            return KafkaReader(self._cluster, self, state, group=None)
        self._refuse_unfit(topic)
        return self._grouped(state, group)

    def now_ms(self) -> int:
        """This machine's clock; brokers stamp with theirs, so both follow one time server."""
        return int(time.time() * 1000)

    def close(self) -> None:
        for client in (self._sender, self._asker):
            if client is not None:
                client.close()
        self._sender = self._asker = None

    def _grouped(self, state: TopicState, group: str) -> Reader:
        return KafkaReader(self._cluster, self, state, group=group)

    def _made(self, topic: str) -> TopicState:
        """The state of a topic that is there: of several brokers each hears of it in its turn."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            try:
                return self.state(topic)
            except InputError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)

    def _settings(self, topic: str) -> dict[str, str]:
        name = self._cluster.topic(topic)
        asked = [ConfigResource(ConfigResourceType.TOPIC, name)]
        deadline = time.monotonic() + SETTLE_S
        while True:
            with answering(f"tell the settings of {topic}"):
                told = self._admin().describe_configs(asked, config_filter="all")
            # Nothing is told, and no error, by a broker that has not heard of a new topic yet,
            # and to a user without the right.
            if settings := told.get("topic", {}).get(name):
                return {key: setting["value"] for key, setting in settings.items()}
            if time.monotonic() >= deadline:
                raise ConfigError(
                    f"Kafka refuses to tell the settings of {topic}",
                    why="that is its silence to a user without DescribeConfigs on the topic",
                    fix=f"kafka-acls.sh --add --operation DescribeConfigs --topic {name}",
                )
            time.sleep(0.05)

    def _refuse_unfit(self, topic: str) -> None:
        name, told = self._cluster.topic(topic), self._settings(topic)
        for key, value in FIT.items():
            if told[key] != value:
                raise ConfigError(
                    f"topic {name} has {key}={told[key]}, it must be {value}",
                    why="records would go missing, or carry a time that their sender chose",
                    fix=f"kafka-configs.sh --alter --entity-type topics --entity-name {name}"
                    f" --add-config {key}={value}",
                )

    def _admin(self) -> KafkaAdminClient:
        with self._lock:
            if self._asker is None:
                with reaching(self._cluster):
                    self._asker = KafkaAdminClient(**self._cluster.client())
            return self._asker

    def _producer(self) -> KafkaProducer:
        with self._lock:
            if self._sender is None:
                self._sender = KafkaProducer(
                    **self._cluster.client(),
                    compression_type=self._cluster.compression or None,
                    max_request_size=RECORD_BYTES,
                    batch_size=1 << 20,
                    delivery_timeout_ms=int(SEND_S * 1000),
                    request_timeout_ms=int(SEND_S * 1000),
                )
            return self._sender
