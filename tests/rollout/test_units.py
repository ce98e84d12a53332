"""The laws of sticky units: what the closer counts, whoever saw what when, and in what order."""

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.event import listen, remove

from rollout import units
from rollout.cells import PLAN, encoded
from rollout.closer import UnitCloser
from rollout.collector import Rollouts
from rollout.opening import open_epoch
from streams import counters, plans
from streams.db.engine import reading, writing
from streams.hashing import assignment_point
from streams.installation import secret
from streams.topics import EVENTS
from tests.laws import laws
from tests.rollout import sticky as world
from tests.streams import spine


class Sticky(spine.Databases):
    """Databases in which the rollout of `sticky` has its epoch."""

    def begun(self):
        with writing(self._engine) as connection:
            open_epoch(connection, world.EPOCH, now_ms=0)
            for body in world.PLANS:
                append(connection, body)
        return self.prepare([(world.MODEL, spine.T0 - 60 * world.MINUTE)], world.ROUTES)


def append(connection, body):
    plans.append(connection, kind=PLAN, id="r1", body=encoded(body), from_ms=0, now_ms=0, by="test")


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    made = Sticky(f"sqlite:///{folder / 'template.db'}", folder)
    yield made.begun()
    made.dispose()


def closer(engine):
    return UnitCloser(engine, partitions=lambda: world.PARTITIONS, topic=EVENTS.name)


def filled(history):
    log = spine.ListLog(
        spine.Hands(max(event["appended"] for event in history)), partitions=world.PARTITIONS
    )
    for event in history:
        log.put(world.home_of(event), event["appended"], world.lines(event))
    return log


def closed(history):
    """The history, and events so late that every period of it is over."""
    late = world.CLOSES + 24 * 60 * world.MINUTE
    return [*history, *world.ends(late)]


def settled(engine):
    """Everything that can be closed is."""
    mine = closer(engine)
    for _ in range(200):
        if not mine.step() and not mine.step():
            return
    raise AssertionError("the closer never comes to an end")


def totals(engine):
    with reading(engine) as connection:
        found = counters.totals(connection, world.EPOCH.prefix)
    return {
        what: cells.tolist()
        for what, cells in found.items()
        if cells.any() and not what.endswith(("split", "assigned"))
    }


def counted(databases, history, cuts=()):
    log = filled(closed(history))
    log.cuts.extend(cuts)
    with databases.fresh() as engine:
        spine.settle(spine.pipeline(log, engine, collectors=[Rollouts()]), log, engine)
        settled(engine)
        left = remaining(engine)
        found = totals(engine)
    assert left == [0, 0, 0, 0]
    return found


def stepped(databases, history, cuts, looks):
    """The same, while closers look between batches as often as `looks` says, two by turns."""
    log = filled(closed(history))
    with databases.fresh() as engine:
        worker = spine.pipeline(log, engine, collectors=[Rollouts()])
        closers = [closer(engine), closer(engine)]
        for k, cut in enumerate([*cuts, *[1] * len(log.records[EVENTS.name])]):
            log.cuts.append(cut)
            worker.step()
            for _ in range(looks[k % len(looks)]):
                closers[k % 2].step()
        spine.settle(worker, log, engine)
        settled(engine)
        return totals(engine)


def remaining(engine):
    """How many rows are kept of partials, enrolled units and bad ones."""
    tables = (units.unit_partial, units.unit_enrolled, units.unit_paired, units.unit_bad)
    with reading(engine) as connection:
        return [len(connection.execute(table.select()).all()) for table in tables]


def said(databases, history):
    with databases.fresh() as engine, reading(engine) as connection:
        reference = world.Reference(secret(connection))
    for event in history:
        reference.take(event)
    return reference.totals()


cuts = st.lists(st.sampled_from([1, 1, 2, 3, 7]), max_size=25)


@laws(12)
@given(world.histories())
def test_cells_are_what_a_walk_from_account_to_account_says(databases, history):
    assert counted(databases, history) == said(databases, history)


@laws(5)
@given(world.orderly(), st.data())
def test_order_within_the_lateness_changes_no_account(databases, windows, data):
    history = [event for window in windows for event in window]
    again = [e for window in windows for e in data.draw(st.permutations(window))]

    assert counted(databases, again) == counted(databases, history)


@laws(3)
@given(world.histories(), cuts, st.lists(st.integers(0, 2), min_size=1, max_size=5))
def test_neither_batch_borders_nor_when_closers_look_change_an_account(
    databases, history, cuts, looks
):
    at_once, units.AT_ONCE = units.AT_ONCE, 1
    try:
        assert stepped(databases, history, cuts, looks) == counted(databases, history)
    finally:
        units.AT_ONCE = at_once


BUSY = [
    world.LIVE | {"prediction_id": f"b{k}", "unit_id": account, "arm": world.ARMS[arm],
                  "version": world.VERSIONS[arm], "time": world.T0 + k * world.MINUTE,
                  "appended": world.T0 + k * world.MINUTE}
    for k, account in enumerate(world.ACCOUNTS[:6] * 3)
    for arm in [world.lane(account)[0]]
]  # fmt: skip


class KilledError(Exception):
    """Stands for a process that is gone."""


def dies(engine, *, after):
    """Whether a closer that is killed after so many statements had more to do."""
    left = iter(range(after))

    def count(*_):
        if next(left, None) is None:
            raise KilledError

    listen(engine, "before_cursor_execute", count)
    try:
        while closer(engine).step():
            pass
    except KilledError:
        return True
    finally:
        remove(engine, "before_cursor_execute", count)
    return False


def test_a_closer_that_dies_before_any_statement_loses_nothing_and_counts_nothing_twice(databases):
    log = filled(closed(BUSY))
    expected = counted(databases, BUSY)
    with databases.fresh() as engine:
        spine.settle(spine.pipeline(log, engine, collectors=[Rollouts()]), log, engine)
        deaths = 0
        for survives in range(200):
            deaths += dies(engine, after=survives)
        settled(engine)
        found = totals(engine)

    assert deaths > 20
    assert found == expected
    assert sum(expected[world.EPOCH.enrolled]) == 6


def test_a_unit_counts_once_however_many_events_it_has(databases):
    found = counted(databases, BUSY)

    no = next(k for k, metric in enumerate(world.EPOCH.metrics) if metric.name == "slow")
    cells = world.np.array(found[world.EPOCH.what(no, -1)]).reshape(4, -1)
    assert cells[:, 0].sum() == cells[:, 1:].sum() == 6


def test_whom_a_challenger_had_before_is_not_compared(databases):
    had = [account for account in world.ACCOUNTS if world.lane(account)[1]]
    history = [
        BUSY[0] | {"unit_id": account, "prediction_id": account, "arm": world.ARMS[arm],
                   "version": world.VERSIONS[arm]}
        for account in had for arm in [world.lane(account)[0]]
    ]  # fmt: skip

    assert len(had) == 2
    assert counted(databases, history) == {}


CHAMPIONS = [account for account in world.ACCOUNTS if world.lane(account) == (0, False)]


def live(request, after_ms, *, account=CHAMPIONS[0], sent_ms=0, **others):
    """An answer of the champion to one of its accounts, that comes `sent_ms` late."""
    at_ms = world.T0 + after_ms
    names = {"prediction_id": request, "unit_id": account, "version": "41", "arm": "champion"}
    times = {"time": at_ms, "appended": at_ms + sent_ms}
    return world.LIVE | names | times | others


def label(request, after_ms):
    at_ms = world.T0 + after_ms
    return {
        "type": "io.penstock.label.v1", "model": "spam", "prediction_id": request,
        "label_id": f"l-{after_ms}", "label": "spam", "time": at_ms, "appended": at_ms,
    }  # fmt: skip


def cells_of(found, name, period=1):
    """The metric's cells over all traffic, by group and column."""
    no, metric = next(
        (no, metric) for no, metric in enumerate(world.EPOCH.metrics) if metric.name == name
    )
    cells = found.get(world.EPOCH.what(no, -1, period), [0] * metric.groups(2) * metric.columns)
    return world.np.array(cells).reshape(-1, metric.columns)


@pytest.mark.parametrize(("quiet_ms", "known"), [(25 * world.MINUTE, 1), (26 * world.MINUTE, 0)])
def test_a_label_counts_until_the_watermark_passes_the_bucket_and_the_age(
    databases, quiet_ms, known
):
    begins = -world.T0 % world.MINUTE  # a bucket's
    other = next(f"o{k}" for k in range(99) if same_home(f"o{k}", "p0"))
    reached = live(other, begins + quiet_ms - 2 * world.MINUTE, account="elsewhere")

    found = counted(databases, [live("p0", begins), reached, label("p0", begins + 1_000)])

    assert cells_of(found, "misses")[:, 0].sum() == 1
    assert cells_of(found, "misses")[:, 1:].sum() == known


def same_home(one, other):
    return world.home_of({"prediction_id": one}) == world.home_of({"prediction_id": other})


def test_an_exposure_that_ends_after_units_began_to_move_is_no_value(databases):
    ends = world.MOVES - world.T0 - 10 * world.MINUTE  # errors follow a unit for ten minutes
    whole, cut = live("p0", ends), live("p1", ends + world.MINUTE, account=CHAMPIONS[1])

    found = counted(databases, [whole, cut])

    assert sum(found[world.EPOCH.enrolled]) == 2
    assert cells_of(found, "errors")[:, 0].sum() == 1


def test_a_label_of_a_request_that_another_arm_answered_tells_nothing_of_the_unit(databases):
    stray = live("p1", 1_000, version="42", arm="42")

    found = counted(databases, [live("p0", 0), stray, label("p1", 2_000)], cuts=[1, 1, 1])

    assert cells_of(found, "misses")[:, 0].sum() == 1
    assert cells_of(found, "misses")[:, 1:].sum() == 0


def test_a_unit_is_worth_its_own_mean_and_the_sum_of_its_feedback(databases):
    asked = [
        live("p0", 0, latency_ms=100),
        live("p1", 1_000, latency_ms=300),
        live("p2", 11 * world.MINUTE, latency_ms=900),
    ]
    paid = [
        {
            "type": "io.penstock.feedback.v1", "model": "spam", "name": "tip", "value": value,
            "feedback_id": f"f{value}", "unit_id": CHAMPIONS[0], "route": "default",
            "time": world.T0 + 5_000, "appended": world.T0 + 5_000,
        }
        for value in (2, 5)
    ]  # fmt: skip

    found = counted(databases, asked + paid)

    for name, worth, period in (("slow", 200, 1), ("slow", 900, 2), ("tip", 7, 1)):
        (column,) = cells_of(found, name, period)[:, 1:].sum(axis=0).nonzero()[0]
        metric = next(m for m in world.EPOCH.metrics if m.name == name)
        near = metric.buckets.levels().values
        assert abs(int(column) - int(world.np.searchsorted(near, worth))) <= 1


def test_units_that_an_epoch_was_too_short_for_are_enrolled_and_count_nowhere(
    databases, monkeypatch
):
    monkeypatch.setattr(units, "AT_ONCE", 1)
    late = world.MOVES - world.T0 - 4 * world.MINUTE  # the shortest exposure is five
    history = [
        live(
            f"p{k}",
            late + k * world.MINUTE,
            account=account,
            output=None,
            error={"type": "Timeout"},
        )
        for k, account in enumerate(CHAMPIONS)
    ]
    history = [{k: v for k, v in event.items() if v is not None} for event in history]

    found = counted(databases, history)

    assert found == {world.EPOCH.enrolled: [3, 0, 0], world.EPOCH.first_bad(0): [3, 0, 0]}


@pytest.mark.parametrize(("over_ms", "pairs"), [(0, 1), (world.MINUTE, 0)], ids=["due", "late"])
def test_a_pair_counts_until_the_watermark_passes_the_bucket_and_its_age(databases, over_ms, pairs):
    begins = -world.T0 % world.MINUTE  # a bucket's
    no = next(k for k, metric in enumerate(world.EPOCH.metrics) if metric.name == "disagreement")
    due = begins + world.MINUTE + world.EPOCH.metrics[no].own.settles_ms
    other = next(f"o{k}" for k in range(99) if same_home(f"o{k}", "p0"))
    passed = due + over_ms + world.LATENESS_MS
    reached = live(other, passed, account="elsewhere")
    shadow = live("p0", begins + 1_000, sent_ms=passed - begins, version="42", role="shadow")

    found = counted(databases, [live("p0", begins), reached, shadow])

    assert found.get(world.EPOCH.pairs_of(no), [0])[0] == pairs
    assert cells_of(found, "disagreement")[:, 0].sum() == pairs


def test_of_many_pairs_of_an_account_one_counts(databases):
    asked = [live(f"p{k}", k * 1_000) for k in range(5)]
    shadows = [each | {"version": "42", "role": "shadow"} for each in asked]

    found = counted(databases, asked + shadows)

    no = next(k for k, metric in enumerate(world.EPOCH.metrics) if metric.name == "disagreement")
    assert found[world.EPOCH.pairs_of(no)] == [5, 5, 0, 0]
    assert cells_of(found, "disagreement")[:, 0].tolist() == [1, 0]


def test_a_floor_of_audits_of_an_account_counts_those_that_somebody_answered(databases):
    asked = [live(f"p{k}", k * 1_000) for k in range(12)]
    shadows = [each | {"version": "42", "role": "shadow"} for each in asked]
    looked = [each for each in asked if is_looked_at(each["prediction_id"])]
    told = [each["prediction_id"] for each in asked if each not in looked[:2]]
    labels = [label(request, 20_000 + k) | {"source": "audit"} for k, request in enumerate(told)]

    history = asked + shadows + labels
    found = counted(databases, history)

    assert 3 < len(looked) < 12
    no = next(k for k, metric in enumerate(world.EPOCH.metrics) if metric.name == "defects")
    assert found[world.EPOCH.pairs_of(no)] == [12, len(looked) - 2, 0, 0]
    assert found == said(databases, history)


def is_looked_at(request):
    """Whether an audit of two answers that agree is drawn: one in two."""
    number = assignment_point("a", blake2b(request.encode(), digest_size=16).digest().hex())
    return number < 0.5
