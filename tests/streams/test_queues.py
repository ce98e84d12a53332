"""Queues of records: order, fairness, and how much they hold."""

from hypothesis import given
from hypothesis import strategies as st

from streams.logs.base import Record
from streams.logs.queues import Queues

sizes = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=30)


def filled(sizes):
    queues = Queues()
    for partition in range(3):
        queues.open(partition, 0)
    for partition, size in sizes:
        queues.add(partition, [Record(partition, queues.next(partition), 0, b"x" * size)])
    return queues


@given(sizes, st.integers(1, 50))
def test_sharing_gives_all_of_them_once_in_order_and_within_bounds(sizes, max_bytes):
    queues, given_out = filled(sizes), []

    while shared := queues.share(max_bytes):
        assert sum(len(record.value) for record in shared) <= max_bytes or len(shared) == 1
        given_out += shared

    assert len(given_out) == len(sizes)
    for partition in range(3):
        ours = [record for record in given_out if record.partition == partition]
        assert [record.offset for record in ours] == list(range(queues.next(partition)))
    assert (queues.bytes, queues.are_empty()) == (0, True)


@given(sizes)
def test_it_knows_how_much_it_holds_also_when_some_are_closed_or_opened_anew(sizes):
    queues = filled(sizes)

    queues.close(1)
    queues.open(2, 7)

    assert queues.bytes == sum(size for partition, size in sizes if partition == 0)
    assert 1 not in queues
    assert queues.next(2) == 7


def test_who_was_served_longest_ago_comes_first():
    queues = filled([(0, 10)] * 5 + [(1, 10), (2, 10)])

    order = [record.partition for _ in range(5) for record in queues.share(10)]

    assert order[:3] == [0, 1, 2]
