"""Law 3: SIGKILL between any two statements loses nothing and doubles nothing.

The history is small, so that there can be a run for every statement of it: every number k of a
statement, a process that dies before it, a second one that finishes, and the same result.
"""

import json
import shutil
from contextlib import closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from streams.logs.embedded import EmbeddedLog
from streams.models import Declaration
from streams.topics import EVENTS, TOPICS
from tests.crash.content import content, differences
from tests.crash.dying import count_all, lives
from tests.streams import spine

MINUTE, HOUR = 60_000, 3_600_000
T0 = spine.T0
NOW_MS = T0 + 6 * HOUR
PARTITIONS = 2
SPAM = Declaration(
    model="spam", task="classification", classes=("ham", "spam"), horizons={"outcome": "1h"}
)


def answer(request, **fields):
    return {
        "type": "io.penstock.prediction.v1", "model": "spam", "version": "v1", "time": T0,
        "prediction_id": request, "unit_id": "u1", "output": {"score": 0.8}, **fields,
    }  # fmt: skip


def label(request, label_id, **fields):
    return {
        "type": "io.penstock.label.v1", "model": "spam", "prediction_id": request,
        "label_id": label_id, "time": T0 + MINUTE, "label": "spam", **fields,
    }  # fmt: skip


def stars(feedback_id, value, **fields):
    return {
        "type": "io.penstock.feedback.v1", "model": "spam", "feedback_id": feedback_id,
        "name": "stars", "value": value, "unit_id": "u1", "route": "default", "time": T0, **fields,
    }  # fmt: skip


def assigned(number):
    return {
        "type": "io.penstock.assigned.v1", "model": "spam", "instance": "host", "minute": T0,
        "time": T0, "arm": "champion", "assigned": number, "answered": number, "dropped": 0,
    }  # fmt: skip


# Partition and events of each record. Its labels by id alone lie elsewhere than their request.
RECORDS = [
    (0, [answer("p1", join_key="order"), answer("p1", join_key="order", version="v2",
                                                role="shadow"), stars("f1", 3)]),
    (1, [label("p1", "l1"), label("p2", "l2"), assigned(2)]),
    (0, [answer("p2"), label("p2", "l3", supersedes="l2", label="ham"), stars("f1", 3),
         stars("f2", 5, supersedes="f1")]),
    (1, [answer("p3", model="wild", output={"text": "fine"}), label("none", "l4"), assigned(5),
         answer("p4", version="v3", role="proposed")]),
    (0, [answer("p1", join_key="order", output={"score": 0.1}), {"type": "odd"}]),
    (1, [answer("p4", version="v3"), assigned(4)]),
    (0, [answer("p5", time=T0 + 3 * HOUR), label("p2", "l5", time=T0 + 3 * HOUR)]),
    (1, [answer("p6", time=T0 + 3 * HOUR, version="v2")]),
]  # fmt: skip


def written(path):
    """A log with the records in it."""
    with closing(EmbeddedLog(path, clock=spine.Hands(NOW_MS))) as log:
        for topic in TOPICS:
            log.ensure(topic, PARTITIONS)
        for partition, events in RECORDS:
            log.append(
                EVENTS.name, [(partition, b"\n".join(json.dumps(e).encode() for e in events))]
            )
    return path


@pytest.fixture
def databases(database_url, tmp_path):
    made = spine.Databases(database_url, tmp_path).prepare([(SPAM, T0)])
    yield made
    made.dispose()


EACH = [41, pytest.param(5, marks=pytest.mark.crash), pytest.param(1, marks=pytest.mark.nightly)]


@pytest.mark.parametrize("step", EACH)
def test_a_process_killed_between_any_two_statements_loses_and_doubles_nothing(
    databases, tmp_path, step
):
    log = written(tmp_path / "log.db")
    resent = 0

    def ends(k):
        """What it comes to when the first process dies before statement k; whether it lived."""
        with databases.fresh() as engine, TemporaryDirectory(dir=tmp_path) as folder:
            own = Path(shutil.copy(log, folder))
            url = engine.url.render_as_string(hide_password=False)
            alive = lives(k, count_all, url, own, NOW_MS)
            count_all(url, own, NOW_MS + MINUTE)
            with closing(EmbeddedLog(own, clock=spine.Hands())) as after:
                records = sum(b.end for b in after.bounds(EVENTS.name).values())
            return alive, records, content(engine)

    alive, records, expected = ends(10**9)
    assert alive
    assert records == len(RECORDS) + 1  # one label was sent on
    for k in count(3, step):
        alive, now, found = ends(k)
        other = differences(found, expected)
        assert not other, "\n".join([f"killed before statement {k}", *other])
        resent += now > records
        if alive:
            break
    print(f"\n{k} statements; the log got a message twice in {resent} of the runs")
    if step < 41:
        assert resent  # between append and delete
