"""The laws of a collector (`docs/architecture.md`), and agreement with a naive oracle."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from rollout.collector import Rollouts
from rollout.opening import close_epoch, open_epoch
from streams import counters, tables
from streams.db.engine import reading, writing
from tests.rollout import counting as world
from tests.streams import spine


def laws(examples):
    return settings(
        max_examples=examples,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


class Rollout(spine.Databases):
    """Databases in which the rollout of `counting` has its epochs."""

    def begun(self):
        with writing(self._engine) as connection:
            for body in world.epochs():
                open_epoch(connection, body, now_ms=0, by="test")
            for body in world.CLOSED:
                close_epoch(connection, body, now_ms=0, by="test")
        return self.prepare([(world.MODEL, spine.T0 - 60 * world.MINUTE)], world.ROUTES)


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    made = Rollout(f"sqlite:///{folder / 'template.db'}", folder)
    yield made.begun()
    made.dispose()


def counted(databases, history, cuts=(), *, totals=False):
    """Every cell that is not 0, as the oracle names them."""
    log = spine.ListLog(
        spine.Hands(max(event["appended"] for event in history)), partitions=world.PARTITIONS
    )
    for event in history:
        log.put(world.home_of(event), event["appended"], world.lines(event))
    log.cuts.extend(cuts)
    with databases.fresh() as engine:
        worker = spine.pipeline(log, engine, collectors=[Rollouts()])
        spine.settle(worker, log, engine)
        with reading(engine) as connection:
            rows = connection.execute(select(tables.counter)).all()
            frozen = counters.totals(connection, "rollout/")
    found = {
        (r.what, r.pane_ms, r.partition): counters.vector(r.cells).tolist()
        for r in rows
        if r.what.startswith("rollout")
    }
    found = {key: cells for key, cells in found.items() if any(cells)}
    return (found, {what: cells.tolist() for what, cells in frozen.items()}) if totals else found


def said(history):
    """The oracle's cells, as vectors."""
    bodies = world.epochs()
    oracle = world.Oracle(bodies)
    for event in history:
        oracle.take(event)
    widths = {body.split: (1, len(world.SPLIT) + 3) for body in bodies}
    widths |= {body.assigned: (3, 2) for body in bodies}
    for body in bodies:
        for no, metric in enumerate(body.metrics):
            for slot in body.where():
                widths[body.what(no, slot)] = (metric.groups(2), metric.columns)
    found = {}
    for key, cells in oracle.cells.items():
        vector = np.zeros(widths[key[0]], np.int64)
        for place, count in cells.items():
            vector[place] += count
        if vector.any():
            found[key] = vector.ravel().tolist()
    return found


cuts = st.lists(st.sampled_from([1, 1, 2, 3, 7]), max_size=25)


def evidence(found):
    return {key: cells for key, cells in found.items() if not key[0].startswith("rollout-late")}


@laws(40)
@given(world.histories())
def test_cells_are_what_a_naive_count_of_each_request_says(databases, history):
    assert evidence(counted(databases, history)) == said(history)


@laws(15)
@given(world.histories(), cuts)
def test_batch_borders_never_change_what_is_counted(databases, history, cuts):
    assert counted(databases, history, cuts, totals=True) == counted(
        databases, history, totals=True
    )


@laws(15)
@given(world.orderly(), st.data())
def test_order_within_the_lateness_and_repeats_change_nothing(databases, windows, data):
    history, again = [], []
    for window in windows:
        history += window
        repeats = data.draw(st.lists(st.sampled_from(history), max_size=3))
        late = [event | {"appended": window[0]["appended"]} for event in repeats]
        again += data.draw(st.permutations(window + late))

    straight, shuffled = counted(databases, history), counted(databases, again)

    assert evidence(shuffled) == evidence(straight)
