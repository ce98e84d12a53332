"""The laws of the spine (`architecture.md` section 6: 1, 2 and 4) over arbitrary histories, and
its agreement with an oracle that shares no code with it.
"""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.counters import Delta, Deltas
from tests.laws import laws
from tests.streams import histories as world
from tests.streams import spine
from tests.streams.oracle import Oracle


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laws")
    made = spine.Databases(f"sqlite:///{folder / 'template.db'}", folder)
    yield made.prepare(world.REVISIONS, world.EPOCHS)
    made.dispose()


@pytest.fixture(scope="module")
def postgres_databases(postgres_server, tmp_path_factory):
    with postgres_server.fresh() as url:
        made = spine.Databases(url, tmp_path_factory.mktemp("laws"))
        yield made.prepare(world.REVISIONS, world.EPOCHS)
        made.dispose()


def log_of(history):
    log = spine.ListLog(spine.Hands(max(sent[1] for sent in history)), partitions=world.PARTITIONS)
    for sent in history:
        log.put(sent[0], sent[1], sent.lines)
    return log


def counted(databases, history, cuts=()):
    """What the database holds after this history, taken in batches of these sizes."""
    log = log_of(history)
    log.cuts.extend(cuts)
    with databases.fresh() as engine:
        spine.settle(spine.pipeline(log, engine), log, engine)
        announced = sorted(record.value for record in log.records["dead-letters"])
        return spine.content(engine) | {"announced": announced}


def expected(history):
    oracle = Oracle(
        declarations=world.revisions_in_json(),
        epochs={(e.model, e.route, e.route_version): e.epoch for e in world.EPOCHS},
        lateness_ms=spine.LATENESS_MS,
    )
    for partition, appended_ms, events in history:
        oracle.record(partition, appended_ms, events)
    oracle.settle()
    return oracle.content()


cuts = st.lists(st.sampled_from([1, 1, 2, 3, 7]), max_size=30)


def check_oracle(databases, history):
    found, said = counted(databases, history), expected(history)

    found["cells"], said["cells"] = reports_summed(found["cells"]), reports_summed(said["cells"])
    assert {name: found[name] for name in said} == said


def reports_summed(cells):
    """A report of one unit that supersedes another's is taken back in its own partition."""
    summed = {key: named for key, named in cells.items() if key[0][0] != "reported"}
    reported = Counter()
    for (what, pane, _), named in cells.items():
        if what[0] == "reported":
            reported[what, pane] += named["events"]
    return summed | {key: count for key, count in reported.items() if count}


@laws(80)
@given(world.histories())
def test_what_is_counted_is_what_the_page_says(databases, history):
    check_oracle(databases, history)


@laws(12)
@given(world.histories())
def test_what_is_counted_on_postgresql_is_what_the_page_says(postgres_databases, history):
    check_oracle(postgres_databases, history)


@laws(50)
@given(world.histories(), cuts)
def test_batch_borders_never_change_what_is_counted(databases, history, cuts):
    whole, parts = counted(databases, history), counted(databases, history, cuts)

    assert parts == whole


@laws(8)
@given(world.histories(max_size=15), cuts)
def test_batch_borders_never_change_what_is_counted_on_postgresql(
    postgres_databases, history, cuts
):
    whole, parts = counted(postgres_databases, history), counted(postgres_databases, history, cuts)

    assert parts == whole


@laws(50)
@given(world.orderly(), st.data())
def test_order_within_the_lateness_and_repeats_change_nothing(databases, windows, data):
    history, again = [], []
    for window in windows:
        history += window
        repeats = data.draw(st.lists(st.sampled_from(history), max_size=3))
        late = [world.Sent((sent[0], window[0][1], sent[2])) for sent in repeats]
        again += data.draw(st.permutations(window + late))

    straight, shuffled = counted(databases, history), counted(databases, again)

    assert spine.placeless(shuffled) == spine.placeless(straight)


@laws(20)
@given(world.orderly(windows=2), st.sampled_from(["outcome", "audit"]))
def test_a_retraction_undoes_exactly_what_its_label_did(databases, windows, source):
    answers = [sent for window in windows for sent in window if "version" in sent[2][0]]
    said = []
    for partition, appended_ms, (event,) in answers:
        label = {
            "type": "io.penstock.label.v1", "model": event["model"], "time": event["time"],
            "prediction_id": event["prediction_id"], "source": source,
        }  # fmt: skip
        truth = label | {"label_id": "t", "label": "spam"}
        gone = label | {"label_id": "r", "supersedes": "t"}
        said += [world.Sent((partition, appended_ms, [e])) for e in (truth, gone)]
    if not answers:
        return

    plain, undone = counted(databases, answers), counted(databases, answers + said)

    assert spine.placeless(undone)["cells"] == spine.placeless(plain)["cells"]


@laws(12)
@given(world.histories(max_size=25))
def test_frozen_panes_never_change(databases, history):
    log = log_of(history)
    with databases.fresh() as engine:
        worker = spine.pipeline(log, engine)
        frozen = {}
        for _ in range(len(history)):
            log.cuts.append(1)
            worker.step()
            now = spine.content(engine)

            assert frozen.items() <= now["cells"].items()
            assert frozen.keys() <= now["frozen"]
            frozen = {key: now["cells"][key] for key in now["frozen"]}


keys = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([0, 60_000]), st.integers(0, 1))
cells = st.lists(st.integers(-(2**40), 2**40), min_size=3, max_size=3).map(np.array)
deltas = st.dictionaries(keys, cells.map(Delta), max_size=4).map(Deltas)


def plain(deltas):
    return {key: delta.cells.tolist() for key, delta in deltas.vectors.items()}


@laws(100)
@given(deltas, deltas, deltas)
def test_deltas_add_up_in_any_grouping_and_order_and_the_empty_one_changes_nothing(a, b, c):
    assert plain((a + b) + c) == plain(a + (b + c))
    assert plain(a + b) == plain(b + a)
    assert plain(a + Deltas()) == plain(a) == plain(Deltas() + a)
