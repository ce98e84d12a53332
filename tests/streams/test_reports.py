"""Feedback by unit and assigned counts are functions of what arrived, whatever the order."""

from itertools import permutations

import pytest

from streams import counters
from streams.db.engine import reading
from tests.streams import spine
from tests.streams.histories import MINUTE, Sent

UNIT = {
    "type": "io.penstock.feedback.v1", "model": "m", "name": "stars", "time": spine.T0,
    "unit_id": "u", "route": "default",
}  # fmt: skip
MINUTE_BEGAN = spine.T0 // MINUTE * MINUTE
ASSIGNED = {
    "type": "io.penstock.assigned.v1", "model": "m", "instance": "i", "arm": "champion",
    "minute": MINUTE_BEGAN, "time": spine.T0,
}  # fmt: skip


def report(own, *, supersedes=None, value=5):
    event = UNIT | {"feedback_id": own, "value": value, "supersedes": supersedes}
    return {name: said for name, said in event.items() if said is not None}


def total(engine, prefix):
    with reading(engine) as connection:
        return [cells.tolist() for cells in counters.panes(connection, prefix).values()]


def count(store, events):
    log = spine.ListLog(spine.Hands(), partitions=1)
    for event in events:
        log.put(0, spine.T0, Sent((0, 0, [event])).lines)
    log.cuts.extend([1, 2])
    spine.pipeline(log, store).drain()


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_a_report_counts_unless_another_supersedes_it_whichever_came_first(sqlite_store, order):
    reports = [
        report("f1"), report("f2", supersedes="f1"), report("f3", supersedes="f1"),
        report("f4", supersedes="f3", value=None),
    ]  # fmt: skip

    count(sqlite_store, [reports[k] for k in order])

    assert total(sqlite_store, "reported/") == [[1]]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_assigned_counts_are_merged_by_maximum(sqlite_store, order):
    said = [(5, 3, 0), (9, 8, 1), (7, 9, 0)]
    names = ("assigned", "answered", "dropped")

    count(sqlite_store, [ASSIGNED | dict(zip(names, said[k], strict=True)) for k in order])

    assert total(sqlite_store, "assigned/") == [[9, 9, 1]]


def test_each_process_counts_for_itself(store):
    counts = {"assigned": 2, "answered": 1, "dropped": 0}

    count(store, [ASSIGNED | counts, ASSIGNED | counts | {"instance": "other"}])

    assert total(store, "assigned/") == [[4, 2, 0]]
