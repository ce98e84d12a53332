"""The Node example, with OpenFeature's own packages, against a real server."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from penstock.web.board import LOOK_S
from rollout.assignment import arm_of, misassigned
from streams.db.engine import connect
from tests.web.places import Place
from tests.web.routed import published
from tests.web.test_serve import Server

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "examples" / "openfeature-node"
ACCOUNTS = [f"account-{k}" for k in range(60)]


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example as somebody would copy and install it."""
    if shutil.which("npm") is None:
        pytest.skip("no Node here: install nodejs 20 or newer, and npm")
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def decided(example, url, flag="mailguard", **environment):
    done = subprocess.run(
        ["node", "service.mjs", url, flag, "40", *ACCOUNTS],
        cwd=example, check=False, capture_output=True, text=True, timeout=120,
        env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_node_service_follows_the_table_and_falls_back_to_its_champion(example, tmp_path):
    server = Server(tmp_path)
    engine = connect(f"sqlite:///{tmp_path / 'penstock.db'}")
    before = decided(example, server.url)
    table = published(engine, 0.4, unit="account_id", scope={"region": ("EU",)})
    engine.dispose()
    time.sleep(4 * LOOK_S)

    during = decided(example, server.url)
    server.end()
    after = decided(example, server.url, RECORD="no")

    for answers, error in ((before, "FLAG_NOT_FOUND"), (after, "GENERAL")):
        assert {(a["version"], a["arm"], a["error"]) for a in answers} == {
            ("40", "champion", error)
        }
    for answer in during:
        arm = arm_of(table, answer["account"], {"region": answer["region"]})
        assert (answer["version"], answer["arm"]) == (arm.version, arm.arm)
        assert answer["route_version"] == table.version
    assert {answer["version"] for answer in during} == {"41", "42"}

    place = Place(tmp_path)
    events = [event for _, event in place.kept()[0]]
    place.close()
    routed = [event for event in events if event.route_version == table.version]
    assert (len(events), len(routed)) == (2 * len(ACCOUNTS), len(ACCOUNTS))
    assert not any(
        misassigned(
            table, arm=event.arm, unit_id=event.unit_id, prediction_id=event.prediction_id,
            tags=event.tags,
        )
        for event in routed
    )  # fmt: skip
