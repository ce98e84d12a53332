"""Vectors that add, and panes that freeze."""

import numpy as np

from streams import counters
from streams.counters import Deltas
from streams.db.engine import reading, writing


def add(store, key, cells, due_ms=None):
    deltas = Deltas()
    deltas.add(key, np.array(cells, np.int64), due_ms)
    with writing(store) as connection:
        counters.save(connection, deltas)


def freeze(store, **watermarks):
    with writing(store) as connection:
        return counters.freeze(connection, {int(p[1:]): ms for p, ms in watermarks.items()})


def panes(store, prefix=""):
    with reading(store) as connection:
        return {key: cells.tolist() for key, cells in counters.panes(connection, prefix).items()}


def totals(store, prefix=""):
    with reading(store) as connection:
        return {what: cells.tolist() for what, cells in counters.totals(connection, prefix).items()}


def test_deltas_of_one_vector_add_up_and_reading_sums_partitions(store):
    add(store, ("a", 0, 0), [1, -2])
    add(store, ("a", 0, 0), [2**40, 2])
    add(store, ("a", 0, 1), [5, 5])

    assert panes(store) == {("a", 0): [2**40 + 6, 5]}


def test_a_vector_grows_when_cells_are_added_to_its_end(store):
    add(store, ("a", 0, 0), [1])
    add(store, ("a", 0, 0), [1, 7])
    add(store, ("a", 0, 0), [1])

    assert panes(store) == {("a", 0): [3, 7]}


def test_a_prefix_is_no_pattern(store):
    add(store, ("a_b", 0, 0), [1])
    add(store, ("axb", 0, 0), [2])

    assert panes(store, "a_") == {("a_b", 0): [1]}


def test_a_pane_freezes_once_the_watermark_is_past_its_due_time_and_not_at_it(store):
    add(store, ("a", 0, 0), [1], due_ms=100)

    assert freeze(store, p0=100) == 0
    assert freeze(store, p0=101) == 1
    assert freeze(store, p0=999) == 0
    assert totals(store) == {"a": [1]}


def test_each_partition_freezes_its_own_panes_and_totals_sum_them(store):
    for pane, partition, count in ((0, 0, 1), (60, 0, 2), (0, 1, 4)):
        add(store, ("a", pane, partition), [count], due_ms=pane + 100)
    add(store, ("shown", 0, 0), [9])

    freeze(store, p0=101)
    assert totals(store) == {"a": [1]}
    freeze(store, p0=200, p1=101)
    assert totals(store) == {"a": [7]}
    assert panes(store, "shown") == {("shown", 0): [9]}


def test_an_event_is_in_time_until_the_watermark_is_past_the_due_time():
    assert counters.in_time(np.array([99, 100, 101]), np.array([100])).tolist() == [
        True, True, False,
    ]  # fmt: skip


def test_a_tally_counts_cells_by_group():
    tallied = counters.tally(np.array([0, 1, 1, 1]), np.array([2, 0, 0, 1]), 3, count=2)

    assert tallied.tolist() == [[0, 0, 1], [2, 1, 0]]
