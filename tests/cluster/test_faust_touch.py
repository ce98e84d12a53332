"""A Faust app that does not take up what its group gives it does not leave partitions unread."""

import time
from contextlib import closing

import pytest

from streams.errors import UnavailableError
from streams.logs import membership
from streams.logs.faust import FaustLog
from streams.logs.faust_app import FaustApp
from streams.logs.kafka_cluster import Cluster

pytestmark = pytest.mark.cluster
PATIENCE_S = 40


def test_an_app_that_never_hears_what_it_was_given_is_started_anew(
    kafka_server, topic_prefix, monkeypatch
):
    monkeypatch.setattr(membership, "ASK_S", 0.2)
    monkeypatch.setattr(membership, "BELATED_S", 3.0)
    hears = FaustApp.rebalance_ended
    deaf = []

    def first_is_deaf(self):
        if not deaf or self in deaf:
            deaf.append(self)
        else:
            hears(self)

    monkeypatch.setattr(FaustApp, "rebalance_ended", first_is_deaf)
    log = FaustLog(Cluster(kafka_server.address, prefix=topic_prefix, worker="w"))
    log.ensure("events", 2)
    log.append("events", [(0, b"a"), (1, b"b")])

    with closing(log), closing(log.reader("events", group="g")) as reader:
        with pytest.raises(UnavailableError, match="out of touch") as told:
            _read(reader, count=1)
        assert deaf, "the first app heard"
        assert told.value.why == "it has partitions [0, 1], and holds []"
        assert sorted(_read(reader, count=2)) == [b"a", b"b"]


def _read(reader, *, count):
    values, sought = [], set()
    deadline = time.monotonic() + PATIENCE_S
    while len(values) < count:
        assert time.monotonic() < deadline
        for partition in reader.assigned() - sought:
            reader.seek(partition, 0)
            sought.add(partition)
        values += [record.value for record in reader.poll(max_bytes=1 << 20, timeout_s=0.1)]
    return values
