"""Outbox to log: at least once, in order per key, to the partition that is meant."""

import pytest

from streams import outbox
from streams.db.engine import reading, writing
from streams.errors import UnavailableError
from streams.hashing import partition_of
from streams.outbox import Message
from streams.relay import LEASE_MS, Relay


class Broken:
    """A log that takes what it is given, and dies before it says so."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(self._log, name)

    def append(self, topic, values):
        self._log.append(topic, values)
        raise UnavailableError("gone")


@pytest.fixture
def relay(store, log):
    return Relay(log, store, owner="relay", clock=log.clock)


def put(store, *messages):
    with writing(store) as connection:
        outbox.put(connection, messages, now_ms=0)


def sent(log, topic="events"):
    return [(record.partition, record.value) for record in log.records[topic]]


def test_messages_go_out_in_order_and_are_gone(store, log, relay):
    put(store, *(Message(f"m{k}", "events", "key", b"%d" % k, partition=1) for k in range(3)))

    assert relay.step() == 3
    assert sent(log) == [(1, b"0"), (1, b"1"), (1, b"2")]
    assert relay.step() == 0


def test_a_message_without_a_partition_goes_by_its_keys_hash(store, log, relay):
    put(store, Message("m", "dead-letters", "events/2", b"x"))

    relay.step()

    assert sent(log, "dead-letters") == [(partition_of("dead-letters", "events/2", 3), b"x")]


def test_a_relay_that_dies_after_the_log_took_its_messages_sends_them_again(store, log, relay):
    put(store, Message("m", "events", "key", b"x", partition=0))
    with pytest.raises(UnavailableError):
        Relay(Broken(log), store, owner="dying", clock=log.clock).step()

    assert relay.step() == 0  # still claimed
    log.clock.now_ms += LEASE_MS
    assert relay.step() == 1

    assert sent(log) == [(0, b"x"), (0, b"x")]
    with reading(store) as connection:
        assert outbox.waiting(connection)[0] == 0


def test_the_same_relay_goes_on_after_the_log_was_away(store, log, relay):
    put(store, Message("m", "events", "key", b"x", partition=0))
    with pytest.raises(UnavailableError):
        Relay(Broken(log), store, owner="relay", clock=log.clock).step()

    assert relay.step() == 1
