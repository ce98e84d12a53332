"""The laws of a collector (`docs/architecture.md`), and agreement with a naive oracle."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from rollout.collector import Rollouts
from rollout.opening import close_epoch, open_epoch
from streams import counters, tables
from streams.db.engine import reading, writing
from tests.laws import laws
from tests.rollout import counting as world
from tests.streams import spine


class Rollout(spine.Databases):
    """Databases in which the rollout of `counting` has its epochs."""

    def begun(self):
        with writing(self._engine) as connection:
            for body in world.epochs():
                open_epoch(connection, body, now_ms=0)
            for body in world.CLOSED:
                close_epoch(connection, body, now_ms=0)
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


LIVE = {
    "type": "io.penstock.prediction.v1", "model": "spam", "route_version": 7,
    "output": {"label": "ham"}, "latency_ms": 5, "tags": {}, "role": "live",
}  # fmt: skip
BEGINS = world.SHADOW_ENDS
CHAMPIONS = [request for request in world.IDS[:12] if world.arm_of(request) == 0]


def at(after_ms):
    return {"time": BEGINS + after_ms, "appended": BEGINS + after_ms}


def live(request, *, arm=0, after_ms=0):
    names = {"version": world.VERSIONS[arm], "arm": world.ARMS[arm]}
    return LIVE | {"prediction_id": request} | names | at(after_ms)


def shadow(request, version, *, after_ms):
    return live(request) | {"version": version, "role": "shadow"} | at(after_ms)


def label(request, truth, *, after_ms):
    return {
        "type": "io.penstock.label.v1", "model": "spam", "prediction_id": request,
        "label_id": f"{truth}-{after_ms}", "label": truth,
    } | at(after_ms)  # fmt: skip


def of(found, name, *, late=False):
    """The metric's cells over all traffic, summed over panes and partitions."""
    canary = world.epochs()[1]
    no, metric = next((no, m) for no, m in enumerate(canary.metrics) if m.name == name)
    what = canary.corrected(no) if late else canary.what(no, -1)
    rows = [cells for key, cells in found.items() if key[0] == what]
    return np.sum(rows, axis=0).reshape(-1, metric.columns) if rows else None


def split_of(found):
    return np.sum([c for key, c in found.items() if key[0] == "rollout/2/split"], axis=0).tolist()


def test_a_request_that_names_an_arm_which_its_id_does_not_draw_is_evidence_of_nothing(databases):
    found = counted(databases, [live(CHAMPIONS[0], arm=1), live(CHAMPIONS[1])])

    assert split_of(found) == [1, 0, 0, 0, 1, 0, 0]
    assert of(found, "errors")[:, 0].sum() == 1


def test_a_request_after_its_epoch_closed_is_stale(databases):
    found = counted(databases, [live(CHAMPIONS[0], after_ms=world.CANARY_ENDS - BEGINS)])

    assert split_of(found) == [0, 1, 0, 0, 0, 0, 0]
    assert of(found, "errors") is None


@pytest.mark.parametrize(("after_ms", "known"), [(20 * world.MINUTE, 1), (22 * world.MINUTE, 0)])
def test_a_label_counts_when_it_was_observed_by_age_h_however_quiet_it_was(
    databases, after_ms, known
):
    request = CHAMPIONS[0]

    found = counted(databases, [live(request), label(request, "spam", after_ms=after_ms)])

    assert of(found, "misses")[:, 0].sum() == 1
    assert of(found, "misses")[:, 2].sum() == known
    assert (of(found, "misses", late=True) is None) == bool(known)


def test_a_correction_moves_a_label_and_after_age_h_is_counted_apart(databases):
    request = CHAMPIONS[0]
    first = label(request, "spam", after_ms=1_000)
    soon, late = (
        label(request, "ham", after_ms=after_ms) | {"supersedes": first["label_id"]}
        for after_ms in (2_000, 30 * world.MINUTE)
    )

    in_time = counted(databases, [live(request), first, soon])
    too_late = counted(databases, [live(request), first, late])

    assert of(in_time, "misses")[:, 1:3].sum(axis=0).tolist() == [1, 0]
    assert of(in_time, "misses", late=True) is None
    assert of(too_late, "misses")[:, 1:3].sum(axis=0).tolist() == [0, 1]
    assert of(too_late, "misses", late=True)[2, 1] == 1


@pytest.mark.parametrize(("after_ms", "paired"), [(10 * world.MINUTE, 1), (12 * world.MINUTE, 0)])
def test_a_shadow_that_comes_too_late_is_the_challengers_failure(databases, after_ms, paired):
    request = CHAMPIONS[0]

    found = counted(databases, [live(request), shadow(request, "42", after_ms=after_ms)])

    assert of(found, "disagreement")[:, 0].tolist() == [1, 1]
    assert of(found, "disagreement")[:, 4].tolist() == [paired, 0]


@pytest.mark.parametrize("order", ["lsx", "lxs", "slx", "sxl", "xls", "xsl"])
def test_a_label_tells_of_a_pair_once_in_whatever_order_the_three_come(databases, order):
    request = CHAMPIONS[0]
    said = {
        "l": live(request), "s": shadow(request, "42", after_ms=0),
        "x": label(request, "spam", after_ms=0),
    }  # fmt: skip

    found = counted(databases, [said[each] for each in order])

    assert of(found, "wrong").tolist() == [[1, 0, 0, 1, 0], [0, 0, 0, 0, 0]]


def test_intake_counts_without_loading_what_only_judges_need():
    program = "import sys, rollout.collector; sys.exit('scipy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_label_from_an_audit_counts_only_of_an_answer_that_was_drawn_for_one(databases):
    history = []
    for k, request in enumerate(world.IDS):
        tags = {"tier": "a"} if k % 3 == 0 else {}
        history.append(live(request, arm=world.arm_of(request), after_ms=k) | {"tags": tags})
    for k, request in enumerate(world.IDS[:-1]):
        history.append({
            "type": "io.penstock.label.v1", "model": "spam", "label_id": "l1", "source": "audit",
            "prediction_id": request, "label": "spam", **at(1_000 + k),
        })  # fmt: skip

    found = evidence(counted(databases, history))

    assert found == said(history)
    enrolled, *columns = of(found, "blunders").sum(axis=0).tolist()
    assert enrolled == len(world.IDS) == sum(columns)
    assert columns[0] == 0  # of the protected slice everything is looked at
    assert columns[4] > 0  # of the others some are not, whatever their labels say
    assert columns[2] + columns[6] > 0
