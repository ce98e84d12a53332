"""Proposed answers, and people who answer, killed between any two statements: each is asked about
once, the first word about each holds, and each end is told once.
"""

import json
import shutil
from contextlib import closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import select

from rollout import tables
from rollout.proposals import review_id
from rollout.reviews import State
from streams.db.engine import reading
from streams.logs.embedded import EmbeddedLog
from streams.tables import outbox
from streams.topics import EVENTS, TOPICS
from tests.crash.dying import lives
from tests.crash.people import played
from tests.rollout import counting as world
from tests.rollout.test_reviews import BY_ARM, CONFIRM_MS, Supervised, answered
from tests.streams import spine

ASKED = BY_ARM[1][:3]
RECORDS = [
    [answered(ASKED[0]), answered(BY_ARM[0][0], role="live"), answered(ASKED[1])],
    [answered(ASKED[0]), answered(ASKED[1], role="live", version="41")],
    [answered(ASKED[2]), answered(ASKED[0], role="live")],
]
IDS = [review_id("spam", request) for request in ASKED]
LATE_MS = spine.T0 + CONFIRM_MS

EACH = [97, pytest.param(7, marks=pytest.mark.crash), pytest.param(1, marks=pytest.mark.nightly)]


def written(path):
    """A log with these records, and some of them twice."""
    with closing(EmbeddedLog(path, clock=spine.Hands())) as log:
        for topic in TOPICS:
            log.ensure(topic, world.PARTITIONS)
        for events in (*RECORDS, RECORDS[0]):
            for event in events:
                lines = b"\n".join(world.lines(event))
                log.append(EVENTS.name, [(world.home_of(event), lines)])
    return path


def outcome(engine):
    """Every review as it stands, and what was told of them."""
    with reading(engine) as connection:
        found = connection.execute(select(tables.review).order_by(tables.review.c.id)).all()
        told = connection.execute(select(outbox.c.message_id, outbox.c.body)).all()
    closed = sorted((row.message_id, row.body) for row in told if "review/" in row.message_id)
    return found, closed


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    made = Supervised(f"sqlite:///{folder / 'template.db'}", folder)
    yield made.begun()
    made.dispose()


@pytest.mark.parametrize("step", EACH)
def test_each_is_asked_about_once_and_the_first_word_holds_whatever_is_killed(
    databases, tmp_path, step
):
    log = written(tmp_path / "log.db")

    def ends(k):
        """What it comes to when the first process dies before statement k; whether it lived."""
        with databases.fresh() as engine, TemporaryDirectory(dir=tmp_path) as folder:
            own = Path(shutil.copy(log, folder))
            url = engine.url.render_as_string(hide_password=False)
            alive = lives(k, played, url, own, IDS, LATE_MS)
            played(url, own, IDS, LATE_MS)
            return alive, outcome(engine)

    alive, expected = ends(10**9)
    states = {row.prediction_id: row.state for row in expected[0]}
    assert alive
    assert states == dict(
        zip(ASKED, (State.CONFIRMED, State.REFUSED, State.TIMED_OUT), strict=True)
    )
    assert [json.loads(body)["type"] for _, body in expected[1]] == ["review-closed"] * 3
    for k in count(3, step):
        alive, found = ends(k)
        assert found == expected, f"killed before statement {k}"
        if alive:
            break
    print(f"\n{k} statements")
