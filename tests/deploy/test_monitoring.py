"""Rules, scrapes and dashboards: what they ask for exists, and alerts come when they should."""

import json
import os
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import ROOT, SERVICES

FOLDER = ROOT / "deploy" / "prometheus"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
BOARDS = {
    path.name: json.loads(path.read_text())
    for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")
}
QUERIES = [
    target["expr"] for board in BOARDS.values() for p in board["panels"] for target in p["targets"]
]
PROVISIONED = ROOT / "deploy" / "grafana" / "provisioning"


def promtool(*arguments: object) -> "subprocess.CompletedProcess[str]":
    found = shutil.which("promtool")
    if found is None:
        assert os.environ.get("CI") != "true", "promtool is missing: install prometheus"
        pytest.skip("no promtool here: install prometheus")
    return subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def documented() -> set[str]:
    """The metrics of docs/operations.md, which a test of its own holds to the code."""
    text = (ROOT / "docs" / "operations.md").read_text()
    return set(re.findall(r"^\| `(penstock_\w+)` \|", text, re.M))


def used(text: str) -> set[str]:
    names = set(re.findall(r"\bpenstock_\w+", text))
    return {re.sub("_(bucket|sum|count)$", "", name) for name in names}


def test_prometheus_takes_configuration_and_rules():
    for kind, name in (("config", "prometheus.yml"), ("rules", "rules.yml")):
        checked = promtool("check", kind, FOLDER / name)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_alerts_come_when_something_is_wrong_and_not_before():
    tested = promtool("test", "rules", FOLDER / "rules_test.yml")

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_rule_that_is_wrong_fails_its_tests(tmp_path):
    rules = (FOLDER / "rules.yml").read_text()
    (tmp_path / "rules.yml").write_text(rules.replace("lease_held) != 1", "lease_held) != 0"))
    shutil.copy(FOLDER / "rules_test.yml", tmp_path)

    assert promtool("test", "rules", tmp_path / "rules_test.yml").returncode == 1


def test_every_alert_is_tested_both_ways_and_says_what_to_do():
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    alerts = {rule["alert"] for rule in RULES}
    silent = {case["alertname"] for case in tests[0]["alert_rule_test"]}
    loud = {
        case["alertname"]
        for test in tests[1:]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }

    assert (silent, loud) == (alerts, alerts)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "next"}


def test_every_metric_that_is_asked_for_is_one_of_ours():
    asked = used(" ".join([*QUERIES, *(rule["expr"] for rule in RULES)]))

    assert len(asked) > 15
    assert asked - documented() == set()


def test_what_the_tests_of_rules_feed_is_real_too():
    assert used((FOLDER / "rules_test.yml").read_text()) - documented() == set()


def test_prometheus_understands_every_query_of_the_dashboards(tmp_path):
    rules = [
        {"record": f"q{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    checked = promtool("check", "rules", file)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_a_place_each_a_text_and_a_source_that_is_provisioned(name):
    sources = yaml.safe_load((PROVISIONED / "datasources" / "prometheus.yml").read_text())
    known = {source["uid"] for source in sources["datasources"]}
    panels = BOARDS[name]["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} <= known
    assert all(panel["title"] and panel["description"] for panel in panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_grafana_finds_its_files_where_compose_mounts_them():
    grafana = SERVICES["grafana"]
    mounts = dict(reversed(mount.split(":")[:2]) for mount in grafana["volumes"])
    provider = yaml.safe_load((PROVISIONED / "dashboards" / "penstock.yml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    sources = yaml.safe_load((PROVISIONED / "datasources" / "prometheus.yml").read_text())

    assert (ROOT / mounts[folder] / home.name).exists()
    assert str(home.parent) == folder
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
