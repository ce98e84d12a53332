"""Shadow runners on Kafka share the live answers, and one that is killed costs none."""

import json
import time

import numpy as np
import pytest

from rollout import routes
from rollout.assignment import Challenger
from streams.db.engine import connect, writing
from tests.cli.conftest import lines, prediction, written
from tests.rollout.versions import BIAS, FEATURES, WEIGHTS
from tests.streams import onnx_files

pytestmark = pytest.mark.cluster
EVENTS = 1_000
SPAM = ("model: spam", "task: classification", "classes: [ham, spam]")


def published(place) -> None:
    """v2 is a challenger of v1, with no traffic of its own yet."""
    engine = connect(place.env["PENSTOCK_DATABASE_URL"])
    with writing(engine) as connection:
        table = routes.upcoming(connection, "spam", "default").table(
            salt="s", champion="v1", challengers=[Challenger(version="v2", share=0.0)],
            expires_at=time.time_ns() // 1_000_000 + 600_000,
        )  # fmt: skip
        routes.publish(connection, table)
    engine.dispose()


def sent(place, first: int) -> None:
    rows = np.random.default_rng(first).uniform(0, 2, (EVENTS, 3)).tolist()
    events = [
        prediction(first + k, features=dict(zip(FEATURES, row, strict=True)))
        for k, row in enumerate(rows)
    ]
    done = place.run("send", "-", stdin=lines(*events).decode())
    assert done.returncode == 0, done.stderr


def paired(place) -> tuple[int, int]:
    """(answers, pairs) of v2 in shadow, as they are counted."""
    rows = json.loads(place.run("events", "counts", "-o", "json").stdout)
    found = [row for row in rows if (row["version"], row["role"]) == ("v2", "shadow")]
    return (found[0]["answered"], found[0]["paired"]) if found else (0, 0)


def test_two_runners_answer_every_live_answer_once_though_one_is_killed(place, tmp_path):
    onnx_files.saved(tmp_path / "model.onnx", onnx_files.linear(WEIGHTS, BIAS))
    words = written(
        tmp_path / "version.yaml", "onnx: model.onnx", f"inputs: [{', '.join(FEATURES)}]"
    )
    place.serve()
    place.play("worker", "w1")
    for command in (
        ("register", "-f", str(written(tmp_path / "m.yaml", *SPAM))),
        ("add-version", "spam", "v2", "-f", str(words)),
    ):
        done = place.run("model", *command)
        assert done.returncode == 0, done.stderr
    published(place)
    first, _ = place.play("shadow", "s1"), place.play("shadow", "s2")
    sent(place, 0)
    place.until(lambda: paired(place)[0] > 0)

    first.kill()
    sent(place, EVENTS)

    place.until(lambda: paired(place) == (2 * EVENTS, 2 * EVENTS))
