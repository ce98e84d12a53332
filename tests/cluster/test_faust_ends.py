"""A process that reads with Faust ends in time, also where its app cannot."""

import subprocess
import sys
import time
from contextlib import closing

import pytest

from streams.logs.kafka import KafkaLog
from streams.logs.kafka_cluster import Cluster

pytestmark = pytest.mark.cluster
PATIENCE_S = 40
ENDS_S = 5.0  # less than a group waits for a member that is silent

# Its app joins, and is stopped, while the group waits for another member.
JOINS = """
import sys, time
from streams.logs.faust_app import FaustApp
from streams.logs.kafka_cluster import Cluster

server, topic, group = sys.argv[1:]
app = FaustApp(Cluster(server, worker="w"), topic=topic, group=group)
time.sleep(3.0)
assert not app.assignment().partitions and not app.failure, app.assignment()
began = time.monotonic()
app.stop()
print(time.monotonic() - began, flush=True)
"""


def test_an_app_that_cannot_stop_while_it_joins_does_not_keep_its_process(
    kafka_server, topic_prefix
):
    silent = KafkaLog(Cluster(kafka_server.address, prefix=topic_prefix, worker="silent"))
    silent.ensure("events", 4)
    with closing(silent), closing(silent.reader("events", group="g")) as reader:
        silent.append("events", [(0, b"a")])
        deadline = time.monotonic() + PATIENCE_S
        while not reader.poll(max_bytes=1, timeout_s=0.1):
            assert time.monotonic() < deadline
            for partition in reader.assigned():
                reader.seek(partition, 0)
        process = subprocess.Popen(
            [sys.executable, "-c", JOINS, kafka_server.address, f"{topic_prefix}events",
             f"{topic_prefix}g"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            stopping_s = float(process.stdout.readline())
            code = process.wait(ENDS_S)
        finally:
            process.kill()
            process.communicate()

    assert code == 0
    assert stopping_s > 0.9, "the app could stop: nothing is shown"
