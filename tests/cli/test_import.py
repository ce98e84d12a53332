"""`penstock import` into the live store, the log and a scratch store."""

import json
import sqlite3
import time

import pytest

from tests.cli.conftest import free_port, lines, prediction, written
from tests.penstock.test_supervisor import eventually

LABELS = (
    "model: spam",
    "columns: {prediction_id: id, label: truth, time: at}",
    "fixed: {source: outcome}",
    "time: {format: ms}",
)
PREDICTIONS = (
    "model: spam",
    "columns: {prediction_id: id, output.label: answer, time: at}",
    "fixed: {version: v1}",
    "time: {format: ms}",
)
MONTH_MS = 30 * 86_400_000


def rows_of(folder, query):
    with sqlite3.connect(folder / "penstock.db") as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


def test_labels_go_through_the_server_and_count_once(up, tmp_path):
    now_ms = int(time.time() * 1000)
    up.run("send", "-", stdin=lines(*[prediction(k, prediction_id=f"i-{k}") for k in range(20)]))
    file = written(
        tmp_path / "l.csv", "id,truth,at", *[f"i-{k},ham,{now_ms - 1000}" for k in range(20)]
    )
    command = ["import", "labels", str(file), "--map", str(written(tmp_path / "m.yaml", *LABELS))]

    first = up.run(*command, "-o", "json")
    again = up.run(*command, "-o", "json")

    assert (first.returncode, again.returncode) == (0, 0)
    assert b"20 rows" in first.stderr
    assert json.loads(again.stdout)["accepted"] == 20
    count = "SELECT count(*) FROM label"
    assert eventually(lambda: rows_of(up.folder, count) == [(20,)], 10)


def test_a_dry_run_shows_rows_and_faults_and_sends_nothing(penstock, tmp_path, data_dir):
    file = written(tmp_path / "l.csv", "id,truth,at", "p-1,ham,1", "p-2,,1", "p 3,ham,1")
    mapping = written(tmp_path / "m.yaml", *LABELS)

    said = penstock("import", "labels", str(file), "--map", str(mapping), "--dry-run", "-o", "json")

    assert said.code == 1
    assert said.json["by_code"] == {"no_truth": 1, "bad_id": 1}
    assert [event["prediction_id"] for event in said.json["preview"]] == ["p-1", "p 3"]
    assert not data_dir.exists()


def test_old_predictions_are_counted_in_a_scratch_store(penstock, tmp_path):
    then_ms = int(time.time() * 1000) - 12 * MONTH_MS
    rows = [f"s-{k},spam,{then_ms + 60_000 * k}" for k in range(3_000)]
    file = written(tmp_path / "p.csv", "id,answer,at", *rows)
    mapping = written(tmp_path / "m.yaml", *PREDICTIONS)
    scratch = tmp_path / "scratch"
    command = ["import", "predictions", str(file), "--map", str(mapping), "-o", "json"]

    live = penstock(*command, "--store", "direct", "--dry-run")
    said = penstock(*command, "--store", f"scratch:{scratch}")
    again = penstock(*command, "--store", f"scratch:{scratch}")

    assert live.json["by_code"] == {"too_old_for_live": 3000}
    assert (said.code, said.json["accepted"], again.code) == (0, 3000, 0)
    assert "3,000 events counted" in said.err
    assert "0 were late" in said.err
    assert rows_of(scratch, "SELECT count(*) FROM answer") == [(3000,)]
    assert rows_of(scratch, "SELECT count(*) FROM dead_letter") == [(0,)]


def test_labels_follow_their_predictions_into_a_scratch_store(penstock, tmp_path):
    then_ms = int(time.time() * 1000) - 12 * MONTH_MS
    store = f"scratch:{tmp_path / 'scratch'}"
    for kind, mapping, head, word in (
        ("predictions", PREDICTIONS, "id,answer,at", "spam"),
        ("labels", LABELS, "id,truth,at", "ham"),
    ):
        rows = [f"s-{k},{word},{then_ms + 1000 * k}" for k in range(50)]
        file = written(tmp_path / f"{kind}.csv", head, *rows)
        map_file = written(tmp_path / f"{kind}.yaml", *mapping)
        said = penstock("import", kind, str(file), "--map", str(map_file), "--store", store)
        assert said.code == 0, said.err

    assert rows_of(tmp_path / "scratch", "SELECT count(*) FROM label") == [(50,)]
    assert rows_of(tmp_path / "scratch", "SELECT count(*) FROM orphan") == [(0,)]


@pytest.mark.parametrize("store", ["scratch", "scratch:", "life", "direct:x"])
def test_a_store_that_does_not_exist_is_refused(penstock, tmp_path, store):
    file = written(tmp_path / "l.csv", "id,truth,at")
    mapping = written(tmp_path / "m.yaml", *LABELS)

    said = penstock("import", "labels", str(file), "--map", str(mapping), "--store", store)

    assert (said.code, "scratch:FOLDER" in said.err) == (1, True)


def test_without_a_server_nothing_is_half_done(penstock, tmp_path):
    file = written(tmp_path / "l.csv", "id,truth,at", "p-1,ham,1")
    mapping = written(tmp_path / "m.yaml", *LABELS)
    server = f"http://127.0.0.1:{free_port()}"

    said = penstock("import", "labels", str(file), "--map", str(mapping), "--server", server)

    assert (said.code, "penstock up" in said.err) == (1, True)


def test_a_file_or_map_that_is_not_there_is_an_error(penstock, tmp_path):
    file = written(tmp_path / "l.csv", "id,truth,at")
    mapping = written(tmp_path / "m.yaml", *LABELS)

    assert penstock("import", "labels", "none.csv", "--map", str(mapping)).code == 1
    assert penstock("import", "labels", str(file), "--map", "none.yaml").code == 1
