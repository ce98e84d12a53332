"""`penstock rollout plan` and `backtest`: a spec on what this installation has recorded."""

import re

import msgspec
import pytest

from penstock.direct import Direct
from penstock.installation import opened
from penstock.intake import pipeline
from penstock.settings import read_settings
from penstock.trial import line
from tests.penstock.test_backtest import MODEL, SPEC, traffic


@pytest.fixture
def known(installed, tmp_path):
    """An installation that knows model and versions; the spec's path beside it."""
    (tmp_path / "model.yaml").write_bytes(msgspec.yaml.encode(MODEL))
    (tmp_path / "rollout.yaml").write_bytes(SPEC)
    installed("model", "register", "-f", str(tmp_path / "model.yaml"))
    for label in ("41", "42"):
        installed("model", "add-version", "spam", label, "--digest", label[-1] * 64)
    return installed


def test_files_and_the_log_tell_the_same_story_and_nothing_is_changed(known, data_dir, tmp_path):
    lines = [line(event) for event in traffic(wrong=0.4, days=0.5)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([*lines, b'{"type": "rubbish"}']))
    with opened(read_settings({"PENSTOCK_DATA_DIR": str(data_dir)})) as here:
        for first in range(0, len(lines), 20):
            Direct(here.log).take(lines[first : first + 20])
    spec = str(tmp_path / "rollout.yaml")

    filed = known("rollout", "backtest", spec, "--events", str(path), "-o", "json")
    logged = known("rollout", "backtest", spec, "--days", "1", "-o", "json")
    shown = known("rollout", "backtest", spec, "--days", "1")

    assert filed.json["stage"] == "rolled-back"
    assert "1 lines could not be read; the first: events.jsonl, line 3601: type" in filed.err
    assert logged.json | {"bad": 1, "first_bad": ""} == filed.json | {"first_bad": ""}
    assert "champion alone" in shown.out
    assert known("rollout", "list", "-o", "json").json == []


def test_a_file_in_the_wrong_order_says_so(known, tmp_path):
    events = traffic(wrong=0.1, days=0.1)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(line(event) for event in [*events[200:], *events[:200]]))

    said = known("rollout", "backtest", str(tmp_path / "rollout.yaml"), "--events", str(path))

    assert said.code == 0
    assert "events came long after others of their time and were left out" in said.err


def test_what_is_not_there_is_said(known, tmp_path):
    spec = str(tmp_path / "rollout.yaml")

    nothing = known("rollout", "backtest", spec)
    missing = known("rollout", "backtest", spec, "--events", str(tmp_path / "none.jsonl"))

    assert (nothing.code, missing.code) == (1, 1)
    assert "no event of model 'spam'" in nothing.err
    assert "none.jsonl is no file" in missing.err


def test_a_plan_stands_on_what_was_counted(known, data_dir, tmp_path):
    spec = str(tmp_path / "rollout.yaml")
    unknown = known("rollout", "plan", spec)
    said = known(
        "rollout", "plan", spec, "--requests-a-day", "2400", "--futures", "10", "--effect",
        "wrong=+0.3", "-o", "json",
    )  # fmt: skip

    assert unknown.code == 3
    assert "'41' gave no live answer in the last week" in unknown.err
    assert [tuple(each.values()) for each in said.json["basis"]] == [
        ("errors", "mean", 0.05, "assumed"), ("wrong", "mean", 0.05, "assumed"),
        ("wrong", "labelled", 1.0, "assumed"),
    ]  # fmt: skip
    fates = {fate["scenario"]: fate for fate in said.json["fates"]}
    assert fates["equal"]["promoted"] == fates["as stated"]["harm"] == 1.0
    assert [s["step"] for s in said.json["steps"] if s["scenario"] == "equal"] == [
        "canary[0]", "canary[1]", "approval", "probation"
    ]  # fmt: skip
    with opened(read_settings({"PENSTOCK_DATA_DIR": str(data_dir)})) as here:
        now_ms = here.now_ms()
        events = traffic(wrong=0.1, days=0.2, begin_ms=now_ms - 5 * 3_600_000)
        Direct(here.log).take([line(event) for event in events])
        worker = pipeline(here, owner="test")
        worker.drain()
        worker.close()

    counted = known("rollout", "plan", spec, "--futures", "10", "-o", "json").json

    assert counted["requests_a_day"] == pytest.approx(2_400, rel=0.2)
    basis = {(each["of"], each["field"]): each for each in counted["basis"]}
    assert {each["known"] for each in basis.values()} == {"recorded"}
    assert basis["errors", "mean"]["value"] == 0.0
    assert basis["wrong", "mean"]["value"] == pytest.approx(0.1, abs=0.05)
    assert basis["wrong", "labelled"]["value"] == 1.0


def test_a_plan_stands_on_what_is_stated_and_says_where_it_is_wrong(known, tmp_path):
    spec, rates = str(tmp_path / "rollout.yaml"), tmp_path / "rates.yaml"
    plan = ("rollout", "plan", spec, "--requests-a-day", "2400", "--futures", "10", "--rates")
    rates.write_text("metrics:\n  errors: {mean: 0.01}\n  wrong: {mean: 0.1, labelled: 0.9}\n")
    shown = known(*plan, str(rates))
    rates.write_text("metrics:\n  eror: {mean: 0.01}\n")
    refused = known(*plan, str(rates))
    unclear = known(*plan[:-1], "--effect", "wrong")

    assert shown.code == 0
    assert "WAITS FOR" in shown.out
    assert re.search(r"wrong +labelled +0.9 +stated", shown.out)
    assert (refused.code, unclear.code) == (1, 1)
    assert "rates.yaml, line 2: metrics.eror: the spec has no metric" in refused.err
    assert "is no change of wrong" in unclear.err
