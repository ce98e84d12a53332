from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from penstock_client.buffer import THRESHOLDS, Buffer, Entry
from penstock_client.ids import LOTS

LIMIT = 20_000
SIZES = st.integers(1, 900)
LOT = st.one_of(st.integers(0, LOTS - 1), st.integers(0, 40), st.integers(LOTS - 40, LOTS - 1))


def entry(lot: int, size: int = 100, *, name: int = 0) -> Entry:
    return Entry(lot, str(name).encode().ljust(size, b"."), None)


def small(*, limit: int = LIMIT) -> Buffer:
    return Buffer(limit_bytes=limit, batch_bytes=4_000, batch_events=10)


class Units(RuleBasedStateMachine):
    """Whatever is put, taken and given back: no unit is ever kept in part.

    The model knows only the rule: from the moment at which the threshold excludes a unit, nothing
    of it leaves the buffer, until the threshold takes it in again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffer = small()
        self.put = self.taken = self.names = 0
        self.inside: dict[int, Entry] = {}  # by name, in order of arrival
        self.out: list[Entry] = []  # a batch on its way to the server

    def threshold(self) -> int:
        return round(self.buffer.kept_share * LOTS)

    def forget_excluded(self) -> None:
        keep = self.threshold()
        self.inside = {name: kept for name, kept in self.inside.items() if kept.lot < keep}

    @rule(lot=LOT, size=SIZES)
    def record(self, lot: int, size: int) -> None:
        excluded = lot >= self.threshold()
        self.names += 1
        added = entry(lot, size, name=self.names)

        self.buffer.put(added)

        if not excluded:
            self.inside[self.names] = added
        self.forget_excluded()

    @rule(data=st.data())
    def send(self, data: Any) -> None:
        before = self.threshold()

        batch = self.buffer.take()

        names = [int(taken.line.rstrip(b".")) for taken in batch]
        assert names == list(self.inside)[: len(names)], "the oldest of what is kept, whole"
        assert all(taken.lot < before for taken in batch)
        if data.draw(st.booleans()):
            self.buffer.restore(batch)
            self.forget_excluded()
        else:
            for name in names:
                del self.inside[name]
            self.taken += len(batch)

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        assert self.names == self.taken + self.buffer.dropped + len(self.buffer)

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.buffer.waiting_bytes <= 2 * LIMIT

    def teardown(self) -> None:
        left = [int(kept.line.rstrip(b".")) for kept in self.buffer.drain()]
        assert left == list(self.inside)
        assert self.buffer.empty
        assert self.buffer.waiting_bytes == 0


Units.TestCase.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
TestUnits = Units.TestCase


@settings(deadline=None)
@given(st.lists(st.tuples(LOT, SIZES), max_size=30))
def test_below_its_limit_everything_leaves_in_the_order_of_arrival(puts):
    buffer = small(limit=10**6)
    given_entries = [entry(lot, size, name=index) for index, (lot, size) in enumerate(puts)]

    for put in given_entries:
        buffer.put(put)

    assert buffer.drain() == given_entries
    assert buffer.kept_share == 1


def test_what_is_kept_depends_on_the_lot_and_not_on_the_age():
    buffer = small(limit=200_000)

    for name in range(20_000):
        buffer.put(entry(name * 40_503 % LOTS, name=name))

    names = [int(kept.line.rstrip(b".")) for kept in buffer.drain()]
    assert 0.02 < len(names) / 20_000 < 0.05
    old = sum(name < 10_000 for name in names) / len(names)
    assert 0.45 < old < 0.55


def test_the_threshold_recovers_when_the_buffer_drains():
    buffer = small()
    for name in range(2_000):
        buffer.put(entry(name * 40_503 % LOTS, name=name))
    assert buffer.kept_share < 0.2

    for _ in range(len(THRESHOLDS)):
        buffer.take()

    assert buffer.kept_share == 1
    buffer.put(entry(LOTS - 1))
    assert len(buffer.take()) == 1


def test_a_service_with_one_unit_loses_it_whole_and_gets_it_back():
    buffer = small()

    for _ in range(500):
        buffer.put(entry(77))

    assert buffer.drain() == []
    assert buffer.dropped == 500
    while buffer.kept_share < 1:
        buffer.take()
    buffer.put(entry(77))
    assert len(buffer.drain()) == 1


def test_a_batch_is_bounded_by_events_and_by_bytes():
    buffer = small(limit=10**6)
    for _ in range(25):
        buffer.put(entry(1, 100))
    for _ in range(4):
        buffer.put(entry(1, 3_000))

    sizes = []
    while not buffer.empty:
        sizes.append(len(buffer.take()))

    assert sizes[:2] == [10, 10]
    assert max(sizes) <= 10
    assert all(size <= 1 for size in sizes[-3:])


def test_a_batch_is_ready_by_events_or_by_bytes():
    few, large = small(), small()

    ready = [few.put(entry(1, 1)) for _ in range(10)]

    assert ready == [False] * 9 + [True]
    assert large.put(entry(1, 4_000))


def test_no_caller_tidies_more_than_a_segment():
    buffer = Buffer(limit_bytes=8 * 1024 * 1024, batch_bytes=256 * 1024, batch_events=500)
    most = before = 0

    for name in range(30_000):
        buffer.put(Entry(name * 40_503 % LOTS, b"." * 500, None))
        most, before = max(most, buffer.dropped - before), buffer.dropped

    assert buffer.dropped > 10_000
    assert most <= 129, "one segment, and the entry itself"
    assert buffer.waiting_bytes < 9 * 1024 * 1024
