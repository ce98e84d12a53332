"""Deliveries: claimed in turn, never before they are due, by one at a time, until taken."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import deliveries
from streams.db.engine import connect, writing
from streams.deliveries import DROPPED, GIVEN_UP, TAKEN, WAITING, New
from streams.tables import webhook_delivery

HOOKS = ("a", "b")
CLAIM_MS = 60
OUTCOMES = (TAKEN, WAITING, GIVEN_UP)


class Queue:
    """The store beside what it should hold: [state, attempts, due] of each delivery."""

    def __init__(self, connection):
        self.connection = connection
        self.now_ms = 1_000
        self.held = []  # (delivery, claim) of those who are at it, or believe so
        self.model = {}

    def put(self, hook, no):
        new = New(hook, f"msg_{no}", f"event/{no}", b"{}")
        deliveries.put(self.connection, [new], now_ms=self.now_ms)
        self.model.setdefault((hook, no), [WAITING, 0, self.now_ms])

    def wait(self, _hook, no):
        self.now_ms += 10 * no

    def claim(self, hook, _no):
        found = deliveries.claim(self.connection, hook, now_ms=self.now_ms, for_ms=CLAIM_MS)
        due = [key for key in self.model if key[0] == hook and self.is_due(key)]
        due.sort(key=lambda key: self.model[key][2])  # of equals, who was put first
        assert (found is None) == (not due)
        if found is not None:
            assert found.event == f"event/{due[0][1]}", "what has been due longest"
            assert found.attempts == self.model[due[0]][1]
            self.model[due[0]][2] = found.due_ms
            self.held.append((due[0], found))

    def note(self, _hook, no):
        if not self.held:
            return
        key, claimed = self.held.pop(no % len(self.held))
        model, outcome = self.model[key], OUTCOMES[no % 3]
        due_ms = self.now_ms + 20 * no if outcome == WAITING else None
        noted = deliveries.note(
            self.connection, claimed, state=outcome, due_ms=due_ms, status=None, said="",
            now_ms=self.now_ms,
        )  # fmt: skip
        assert noted == (model[2] == claimed.due_ms), "only who holds the claim"
        if noted:
            model[:] = [outcome, model[1] + 1, due_ms]

    def again(self, hook, no):
        events = None if no == 0 else [f"event/{no}"]
        deliveries.again(self.connection, hook, events=events, now_ms=self.now_ms)
        for key, model in self.model.items():
            if key == (hook, no) or (key[0] == hook and no == 0 and model[0] == GIVEN_UP):
                model[:] = [WAITING, 0, self.now_ms]

    def drop(self, hook, _no):
        deliveries.drop(self.connection, hook)
        for key, model in self.model.items():
            if key[0] == hook and model[2] is not None:
                model[0], model[2] = DROPPED, None

    def is_due(self, key):
        due_ms = self.model[key][2]
        return due_ms is not None and due_ms <= self.now_ms

    def check(self):
        found = {
            (hook, int(each.message_id[4:])): [each.state, each.attempts, each.due_ms]
            for hook in HOOKS
            for each in deliveries.page(self.connection, hook, limit=100)
        }
        due = deliveries.due(self.connection, now_ms=self.now_ms)
        waiting = sum(each.count for each in deliveries.waiting(self.connection))
        assert found == self.model
        assert due == sorted({key[0] for key in self.model if self.is_due(key)})
        assert waiting == sum(model[2] is not None for model in self.model.values())


STEPS = [
    Queue.put, Queue.put, Queue.claim, Queue.claim, Queue.note, Queue.note, Queue.wait, Queue.again,
    Queue.drop,
]  # fmt: skip


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.sampled_from(HOOKS), st.integers(1, 4)),
        min_size=10, max_size=40,
    )
)  # fmt: skip
def test_a_delivery_is_due_until_it_is_taken_and_one_has_it_at_a_time(steps):
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{Path(folder) / 'q.db'}")
        webhook_delivery.create(engine)
        with writing(engine) as connection:
            queue = Queue(connection)
            for step, hook, no in steps:
                step(queue, hook, no - (step is Queue.again))
                queue.check()
        engine.dispose()


@pytest.fixture
def store(engine):
    webhook_delivery.create(engine)
    return engine


def test_of_two_who_claim_the_same_one_has_it(store):
    with writing(store) as connection:
        deliveries.put(connection, [New("a", "msg_0", "e", b"{}")], now_ms=0)
    with writing(store) as connection:
        first = deliveries.claim(connection, "a", now_ms=10, for_ms=60)
        second = deliveries.claim(connection, "a", now_ms=10, for_ms=60)

    assert (first.due_ms, second) == (70, None)


def test_settled_ones_of_long_ago_are_gone_and_the_others_stay(store):
    with writing(store) as connection:
        news = [New("a", f"msg_{k}", f"e{k}", b"{}") for k in range(3)]
        deliveries.put(connection, news[:2], now_ms=0)
        deliveries.put(connection, news[2:], now_ms=50)
        for _ in range(2):
            held = deliveries.claim(connection, "a", now_ms=60, for_ms=9)
            deliveries.note(
                connection, held, state=TAKEN if held.event != "e1" else WAITING, now_ms=60,
                due_ms=None if held.event != "e1" else 100, status=200, said="",
            )  # fmt: skip
        gone = deliveries.forget(connection, before_ms=50)
        left = deliveries.page(connection, "a", limit=9)

    assert gone == 1
    assert [each.event for each in left] == ["e2", "e1"]
