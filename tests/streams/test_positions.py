"""Where a consumer stands: one owner at a time, never backwards, never past what is counted."""

import threading

import pytest

from streams import positions
from streams.db.engine import reading, writing
from streams.errors import ConfigError
from streams.logs.base import TopicState
from streams.positions import LostError, Moved

TOPIC = TopicState("events", "first", 3)


def claim(store, *partitions, owner="one", topic=TOPIC):
    with writing(store) as connection:
        return positions.claim(
            connection, consumer="c", topic=topic, partitions=partitions, owner=owner, now_ms=1
        )


def advance(store, *steps):
    with writing(store) as connection:
        positions.advance(connection, consumer="c", topic="events", moved=steps, now_ms=2)


def standing(store):
    with reading(store) as connection:
        found = positions.standing(connection, consumer="c", topic="events")
    return {partition: (at.next, at.watermark_ms) for partition, at in found.items()}


def test_a_new_partition_begins_at_its_beginning_and_each_claim_has_a_new_fence(store):
    first, second = claim(store, 0)[0], claim(store, 0, owner="two")[0]

    assert (first.next, first.fence, second.next, second.fence) == (0, 1, 0, 2)


def test_the_next_owner_goes_on_where_the_last_one_committed(store):
    claim(store, 0)
    advance(store, Moved(0, 1, 0, 7, 500))

    at = claim(store, 0, owner="two")[0]

    assert (at.next, at.watermark_ms) == (7, 500)


def test_a_step_of_an_old_owner_moves_nothing_and_names_what_is_lost(store):
    claim(store, 0, 1, 2)
    claim(store, 1, owner="two")

    with pytest.raises(LostError) as lost:
        advance(store, *(Moved(p, 1, 0, 5, 500) for p in range(3)))

    assert lost.value.partitions == {1}
    assert {next for next, _ in standing(store).values()} == {0}


def test_a_step_from_where_the_position_no_longer_stands_is_lost(store):
    claim(store, 0)
    advance(store, Moved(0, 1, 0, 5, 500))

    with pytest.raises(LostError):
        advance(store, Moved(0, 1, 0, 6, 600))


def test_positions_of_a_topic_that_was_made_again_are_refused(store):
    claim(store, 0)

    with pytest.raises(ConfigError, match="deleted and made again"):
        claim(store, 0, topic=TopicState("events", "second", 3))


def test_two_workers_that_claim_a_new_partition_at_once_get_one_fence_each(store):
    barrier, fences = threading.Barrier(2), []

    def work(owner):
        barrier.wait(10)
        fences.append(claim(store, 0, owner=owner)[0].fence)

    threads = [threading.Thread(target=work, args=(owner,)) for owner in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(fences) == [1, 2]


def test_what_lies_behind_is_the_end_less_what_is_counted():
    at = {0: positions.Position(0, 4, 1, 0)}

    assert positions.behind({0: 10, 1: 3}, at) == {0: 6, 1: 3}
