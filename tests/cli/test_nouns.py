"""model, key, events, db and doctor, on an installation that nobody runs."""

import json
import time

import pytest

from penstock.direct import Direct
from penstock.installation import opened
from penstock.intake import pipeline
from penstock.settings import Settings
from streams import expiry
from streams.db.engine import connect, writing
from streams.installation import keep_expiry
from tests.cli.conftest import free_port, lines, prediction, written

NOW_MS = 1_750_000_000_000  # 2025-06-15
SPAM = ("model: spam", "task: classification", "classes: [ham, spam]", "owner: ann")


def appended(data_dir, *events):
    with opened(Settings(data_dir=data_dir)) as here:
        return Direct(here.log).post(lines(*events).splitlines())


def counted(data_dir):
    with opened(Settings(data_dir=data_dir)) as here:
        worker = pipeline(here, owner="test")
        worker.drain()
        worker.close()


def test_a_schema_that_is_missing_is_exit_code_3_and_nothing_is_made(penstock, data_dir):
    said = penstock("db", "status", "-o", "json")

    assert (said.code, said.json["current"]) == (3, None)
    assert said.json["pending"]
    assert not data_dir.exists()


def test_an_upgrade_may_be_repeated(penstock):
    penstock("db", "upgrade")

    said = penstock("db", "upgrade", "-o", "json")

    assert (said.code, said.json["pending"]) == (0, [])
    assert penstock("db", "status").code == 0


def test_the_database_says_what_it_is_and_which_days_it_holds(installed, data_dir):
    said = installed("db", "status", "-o", "json").json

    assert (said["kind"], said["sessions"], said["days"]) == ("sqlite", {}, [])
    assert said["bytes"] >= (data_dir / "penstock.db").stat().st_size
    assert said["oldest_day"] is said["last_expiry_ms"] is None
    assert said["version"] in installed("db", "status").out


def test_on_postgresql_each_day_of_the_ledger_has_a_line(installed, postgres_url, monkeypatch):
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", postgres_url)
    assert installed("db", "status").code == 3
    installed("db", "upgrade")
    engine = connect(postgres_url)
    with writing(engine) as connection:
        expiry.make_days(connection, now_ms=NOW_MS)
        keep_expiry(connection, at_ms=NOW_MS, before_ms=NOW_MS - 1)
    engine.dispose()

    said = installed("db", "status", "-o", "json").json

    assert (said["kind"], said["last_expiry_ms"]) == ("postgresql", NOW_MS)
    assert said["sessions"]["penstock cli"] == 1
    dates = [day["date"] for day in said["days"]]
    assert dates == [
        "other days",
        "undated",
        "2025-06-15",
        "2025-06-16",
        "2025-06-17",
        "2025-06-18",
    ]
    assert said["days"][2]["partitions"] == ["answer_20250615", "label_20250615"]
    assert "2025-06-15" in installed("db", "status").out


def test_a_model_is_registered_once(installed, tmp_path):
    file = str(written(tmp_path / "m.yaml", *SPAM))

    first = installed("model", "register", "-f", file, "-o", "json").json
    again = installed("model", "register", "-f", file, "-o", "json").json

    assert (first["is_new"], again["is_new"]) == (True, False)
    assert first["revision"] == again["revision"]
    assert installed("model", "list", "-o", "json").json == [
        {"model": "spam", "task": "classification", "owner": "ann", "revisions": 1, "versions": 0}
    ]


def test_a_wrong_declaration_names_file_line_and_field(installed, tmp_path):
    file = str(written(tmp_path / "m.yaml", *SPAM, "ownr: bob"))

    said = installed("model", "register", "-f", file)

    assert said.code == 1
    assert "m.yaml, line 5: ownr" in said.err
    assert "did you mean owner?" in said.err


def test_a_version_keeps_its_files_and_is_immutable(installed, tmp_path, data_dir):
    installed("model", "register", "-f", str(written(tmp_path / "m.yaml", *SPAM)))
    onnx = written(tmp_path / "model.onnx", "graph")

    added = installed("model", "add-version", "spam", "v1", str(onnx), "-o", "json").json
    onnx.write_text("another")
    refused = installed("model", "add-version", "spam", "v1", str(onnx))

    assert (data_dir / "files" / added["digest"][:2] / added["digest"]).read_text() == "graph\n"
    assert (refused.code, "immutable" in refused.err) == (5, True)
    shown = installed("model", "show", "spam", "-o", "json").json
    assert [version["label"] for version in shown["versions"]] == ["v1"]


def test_a_key_is_shown_once_and_can_be_revoked(installed):
    made = installed("key", "create", "svc", "--model", "spam", "-o", "json").json
    assert made["token"].startswith(f"ps_{made['id']}_")

    revoked = installed("key", "revoke", made["id"], "-y")

    assert revoked.code == 0
    listed = installed("key", "list", "-o", "json")
    assert (listed.json[0]["state"], made["token"] in listed.out) == ("revoked", False)


def test_a_key_is_not_revoked_in_a_pipe_without_yes(installed):
    made = installed("key", "create", "svc", "-o", "json").json

    said = installed("key", "revoke", made["id"])

    assert (said.code, "-y" in said.err) == (3, True)
    assert installed("key", "list", "-o", "json").json[0]["state"] == "live"


def test_the_tail_shows_the_newest_events_with_their_places(installed, data_dir):
    appended(data_dir, *[prediction(k) for k in range(50)], prediction(50, model="eta"))

    found = installed("events", "tail", "-n", "3", "--model", "spam", "-o", "json").json

    assert [seen["id"] for seen in found] != []
    assert len(found) == 3
    assert {seen["model"] for seen in found} == {"spam"}
    assert all("@" in seen["place"] for seen in found)
    assert len(installed("events", "tail", "-n", "1000", "-o", "jsonl").out.splitlines()) == 51


def test_a_rejected_event_is_listed_and_counted_once_it_is_repaired(installed, data_dir, tmp_path):
    kept_at = int(time.time() * 1000) - 91 * 86_400_000
    appended(data_dir, prediction(1, time=kept_at))
    counted(data_dir)
    (letter,) = installed("events", "rejected", "-o", "json").json
    assert (letter["code"], letter["field"]) == ("too_late", "time")
    file = tmp_path / "edited.jsonl"
    file.write_bytes(lines(prediction(1)))

    said = installed(
        "events", "retry", "--id", str(letter["id"]), "--file", str(file), "-o", "json"
    )
    counted(data_dir)

    assert (said.code, said.json[0]["sent"]) == (0, True)
    assert installed("model", "list", "-o", "json").json[0]["versions"] == 1
    (letter,) = installed("events", "rejected", "-o", "json").json
    assert letter["retried_ms"] is not None
    assert installed("events", "retry", "--all", "-o", "json").json == []


@pytest.mark.parametrize("args", [[], ["--all", "--id", "1"]])
def test_a_retry_says_which(installed, args):
    assert installed("events", "retry", *args).code == 2


def test_a_retry_of_nothing_is_an_error(installed):
    assert installed("events", "retry", "--id", "7").code == 1


def test_the_doctor_says_what_to_do(penstock, monkeypatch):
    monkeypatch.setenv("PENSTOCK_PORT", str(free_port()))

    before = penstock("doctor", "-o", "json")
    penstock("db", "upgrade")
    after = penstock("doctor", "-o", "json")

    assert (before.code, after.code) == (1, 0)
    found = {finding["check"]: finding for finding in before.json}
    assert found["database"]["next"] == "penstock db upgrade"
    assert {f["check"]: f["state"] for f in after.json}["last event"] == "warn"


def test_the_doctor_sees_a_setting_that_does_not_exist(penstock, monkeypatch):
    monkeypatch.setenv("PENSTOCK_PROT", "1")

    said = penstock("doctor", "-o", "json")

    assert (said.code, said.json[-1]["next"]) == (1, "did you mean PENSTOCK_PORT?")


def test_the_version_names_what_a_report_needs(penstock):
    assert set(json.loads(penstock("version", "-o", "json").out)) == {
        "penstock", "python", "sqlite", "extras",
    }  # fmt: skip
