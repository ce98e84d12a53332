"""Messages that leave with the transaction that caused them, claimed by one relay at a time."""

import threading

from streams import outbox
from streams.db.engine import reading, writing
from streams.outbox import Message


def message(name, key="k"):
    return Message(name, "events", key, name.encode())


def put(store, *messages):
    with writing(store) as connection:
        outbox.put(connection, messages, now_ms=5)


def claim(store, owner, *, now_ms=0, limit=500):
    with writing(store) as connection:
        return outbox.claim(connection, owner=owner, now_ms=now_ms, lease_ms=100, limit=limit)


def names(claimed):
    return [each.message_id for each in claimed]


def waiting(store):
    with reading(store) as connection:
        return outbox.waiting(connection)


def test_a_message_waits_from_the_commit_of_its_cause(store):
    with writing(store) as connection:
        outbox.put(connection, [message("never")], now_ms=5)
        connection.rollback()
    put(store, message("a"))

    assert waiting(store) == (1, 5)


def test_the_same_cause_twice_is_one_message(store):
    put(store, message("a"))
    put(store, message("a"), message("b"))

    assert names(claim(store, "one")) == ["a", "b"]


def test_a_claimed_message_is_not_for_others_until_its_lease_ends(store):
    put(store, message("a"))
    claim(store, "one", now_ms=0)

    assert claim(store, "two", now_ms=99) == []
    assert names(claim(store, "one", now_ms=99)) == ["a"]
    assert names(claim(store, "two", now_ms=199)) == ["a"]


def test_later_messages_of_a_key_wait_while_another_relay_holds_an_earlier_one(store):
    put(store, message("a1", "a"), message("a2", "a"), message("b1", "b"))
    claim(store, "one", limit=1)

    assert names(claim(store, "two", now_ms=50)) == ["b1"]


def test_sent_messages_are_gone_and_another_relays_are_not(store):
    put(store, message("a"))
    late = claim(store, "one", now_ms=0)
    ours = claim(store, "two", now_ms=100)

    with writing(store) as connection:
        outbox.sent(connection, late, owner="one")
    assert waiting(store)[0] == 1
    with writing(store) as connection:
        outbox.sent(connection, ours, owner="two")
    assert waiting(store) == (0, None)


def test_relays_that_claim_at_once_never_split_a_key(store):
    put(store, *(message(f"{key}{k}", key) for k in range(20) for key in "ab"))
    claims, barrier = {}, threading.Barrier(2)

    def work(owner):
        barrier.wait(20)
        with writing(store) as connection:
            claims[owner] = outbox.claim(connection, owner=owner, now_ms=0, lease_ms=100, limit=25)
            stop.wait(0.2)  # the other claims while this one is not committed

    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(owner,)) for owner in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    keys = [{each.key for each in claimed} for claimed in claims.values()]
    assert sorted(map(len, keys)) == [0, 2]
