"""Messages between rooms: each has its effect once, or none at all."""

import pytest
from sqlalchemy import func, select

from streams import deadletters, subscriptions
from streams.db.engine import reading, writing
from streams.errors import ConflictError, UnavailableError
from streams.messages import DeadLettered, encode
from streams.subscriptions import Subscription
from streams.tables import file, inbox

TOPIC = "dead-letters"


def message(name):
    return encode(DeadLettered(name, 0, "events", 0, 0, {"bad": 1}))


class Keeps:
    """A handler whose effect is a row; it fails as often as it is told."""

    def __init__(self, *failures):
        self.failures = list(failures)

    def __call__(self, connection, message, now_ms):
        row = {"digest": message.id, "name": "", "bytes": 0, "created_ms": now_ms}
        connection.execute(file.insert().values(row))
        if self.failures:
            raise self.failures.pop()


def subscription(store, log, handle, owner="one"):
    return Subscription(
        log, store, topic=TOPIC, consumer="room", owner=owner, clock=log.clock, handle=handle
    )


def effects(store):
    with reading(store) as connection:
        return sorted(connection.execute(select(file.c.digest)).scalars())


def drain(*subscribed):
    while any([each.step() for each in subscribed]):
        pass


def test_each_message_has_its_effect_once_however_often_it_was_sent(store, log):
    log.append(TOPIC, [(0, message("a")), (0, message("a")), (1, message("a")), (1, message("b"))])

    drain(subscription(store, log, Keeps()))

    assert effects(store) == ["a", "b"]


def test_nothing_is_handled_again_after_a_restart(store, log):
    log.append(TOPIC, [(0, message("a"))])
    drain(subscription(store, log, Keeps()))
    log.append(TOPIC, [(0, message("b"))])

    assert subscription(store, log, Keeps()).step() == 1
    assert effects(store) == ["a", "b"]


@pytest.mark.parametrize("failure", [UnavailableError("away"), RuntimeError("a bug")])
def test_a_handler_that_fails_leaves_nothing_and_is_asked_again(store, log, failure):
    log.append(TOPIC, [(0, message("a")), (0, message("b"))])
    subscribed = subscription(store, log, Keeps(failure))

    with pytest.raises(type(failure)):
        subscribed.step()
    assert effects(store) == []

    drain(subscribed)
    assert effects(store) == ["a", "b"]


def test_a_handler_that_lost_a_race_is_asked_again(store, log):
    log.append(TOPIC, [(0, message("a"))])
    subscribed = subscription(store, log, Keeps(ConflictError("raced")))

    assert subscribed.step() == 0
    drain(subscribed)

    assert effects(store) == ["a"]


def test_two_consumers_of_one_name_double_nothing(store, log):
    log.append(TOPIC, [(0, message(name)) for name in "abcdef"])
    log.cuts.extend([2, 2, 1])
    rivals = [subscription(store, log, Keeps(), owner) for owner in ("one", "two")]

    for _ in range(8):
        for rival in rivals:
            rival.step()

    assert effects(store) == list("abcdef")


def test_an_unknown_message_is_a_dead_letter_and_stops_nothing(store, log):
    log.append(TOPIC, [(0, b'{"type":"of tomorrow"}'), (0, message("a"))])

    drain(subscription(store, log, Keeps()))

    with reading(store) as connection:
        assert deadletters.by_code(connection) == {"unknown_message": 1}
    assert effects(store) == ["a"]


def test_the_inbox_is_kept_as_long_as_its_topics(store, log):
    log.append(TOPIC, [(0, message("a"))])
    drain(subscription(store, log, Keeps()))

    with writing(store) as connection:
        subscriptions.forget(connection, before_ms=log.clock.now_ms + 1)

        assert connection.execute(select(func.count()).select_from(inbox)).scalar_one() == 0
