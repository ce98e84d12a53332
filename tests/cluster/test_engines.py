"""Workers with one engine beside workers with the other."""

import time
from contextlib import closing

import pytest

from streams.logs.faust import FaustLog
from streams.logs.kafka import KafkaLog
from streams.logs.kafka_cluster import Cluster

pytestmark = pytest.mark.cluster
PATIENCE_S = 40


def test_both_engines_share_a_group_and_read_every_record_once(kafka_server, topic_prefix):
    engines = {"old": KafkaLog, "new": FaustLog}
    logs = {
        name: log(Cluster(kafka_server.address, prefix=topic_prefix, worker=name))
        for name, log in engines.items()
    }
    logs["old"].ensure("events", 4)
    logs["old"].append("events", [(k % 4, b"%d" % k) for k in range(40)])
    readers = {name: log.reader("events", group="g") for name, log in logs.items()}

    held = {name: frozenset() for name in readers}
    read = {name: [] for name in readers}
    deadline = time.monotonic() + PATIENCE_S
    while not (sum(map(len, read.values())) == 40 and all(len(own) == 2 for own in held.values())):
        assert time.monotonic() < deadline, (held, read)
        for name, reader in readers.items():
            if (now := reader.assigned()) != held[name]:
                held[name], read[name] = now, []
                for partition in now:
                    reader.seek(partition, 0)
            records = reader.poll(max_bytes=1000, timeout_s=0.1)
            read[name] += [(record.partition, record.value) for record in records]

    for name, reader in readers.items():
        with closing(logs[name]):
            reader.close()
    assert held["old"] | held["new"] == {0, 1, 2, 3}
    assert sorted(read["old"] + read["new"]) == sorted((k % 4, b"%d" % k) for k in range(40))
