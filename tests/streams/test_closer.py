"""Labels and answers that two workers commit at the same instant find each other."""

import threading

import pytest

from streams.closer import YOUNG_MS, Closer
from tests.streams import spine
from tests.streams.histories import Sent

ANSWER = {
    "type": "io.penstock.prediction.v1", "model": "wild", "version": "v1", "time": spine.T0,
    "prediction_id": "a-1", "join_key": "order-1", "output": {"label": "x"},
}  # fmt: skip
LABEL = {
    "type": "io.penstock.label.v1", "model": "wild", "label_id": "l1", "label": "x",
    "prediction_id": "a-1", "time": spine.T0,
}  # fmt: skip


class Meets:
    """A collector that waits, once, until another worker is at the same place."""

    name = "meets"

    def __init__(self, barrier, place):
        self._barrier = barrier
        self._place = place

    def plans(self, connection):
        pass

    def collect(self, facts, plans):  # noqa: ARG002
        self._meet("collect")

    def save(self, connection, deltas):  # noqa: ARG002
        self._meet("save")

    def _meet(self, place):
        if place == self._place:
            self._place = ""
            self._barrier.wait(20)


def put(log, partition, event):
    log.put(partition, spine.T0, Sent((partition, spine.T0, [event])).lines)


def labelled(store):
    cells = spine.content(store)["cells"]
    return sum(found.get("labelled", 0) for key, found in cells.items() if key[0][0] == "pipe")


@pytest.mark.parametrize(
    ("store", "place"),
    # SQLite has one writer: there, two transactions cannot be open at once.
    [("sqlite", "collect"), ("postgresql", "collect"), ("postgresql", "save")],
    indirect=["store"],
)
def test_a_label_and_its_answer_committed_by_two_workers_at_once_are_joined(store, log, place):
    put(log, 0, ANSWER)
    put(log, 1, LABEL)
    barrier = threading.Barrier(2)
    workers = [
        spine.pipeline(
            spine.Owning(log, [partition]), store, owner=f"worker-{partition}", clock=log.clock,
            collectors=[Meets(barrier, place)],
        )
        for partition in (0, 1)
    ]  # fmt: skip
    threads = [threading.Thread(target=worker.drain) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    missed = spine.content(store)
    assert (len(missed["answers"]), len(missed["orphans"]), labelled(store)) == (1, 1, 0)

    Closer(store, clock=log.clock).step()
    spine.settle(workers[0], log, store)

    found = spine.content(store)
    assert (len(found["labels"]), len(found["orphans"]), labelled(store)) == (1, 0, 1)


def lone_orphan(store, log, *events):
    worker = spine.pipeline(log, store)
    for event in events:
        put(log, 0, event)
    worker.drain()
    assert len(spine.content(store)["orphans"]) == 1
    return Closer(store, clock=log.clock)


def test_a_label_whose_request_has_not_come_waits(store, log):
    closer = lone_orphan(store, log, LABEL)

    assert closer.step() == 0
    assert len(spine.content(store)["orphans"]) == 1


def test_a_label_that_names_a_join_key_as_an_id_is_not_sent_in_circles(store, log):
    closer = lone_orphan(store, log, ANSWER, LABEL | {"prediction_id": "order-1"})

    assert closer.step() == 0


def test_a_label_that_names_an_id_as_a_join_key_is_not_sent_in_circles(store, log):
    label = {k: v for k, v in LABEL.items() if k != "prediction_id"}

    closer = lone_orphan(store, log, ANSWER, label | {"join_key": "a-1"})

    assert closer.step() == 0


def test_only_young_orphans_are_looked_at(store, log):
    put(log, 1, LABEL)
    put(log, 0, ANSWER)
    spine.pipeline(spine.Owning(log, [1]), store, clock=log.clock).drain()
    spine_closer = Closer(store, clock=log.clock)
    log.clock.now_ms += YOUNG_MS + 1

    assert spine_closer.step() == 0
