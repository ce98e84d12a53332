"""`penstock up` as a newcomer, an operator and an accident meet it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from penstock import lock
from tests.cli.conftest import Up, free_port, lines, prediction
from tests.penstock.test_supervisor import eventually, running


@pytest.fixture
def own(tmp_path):
    """An `up` of this test's own, which it may hurt."""
    up = Up(tmp_path / "data", free_port()).ready()
    yield up
    up.stop(signal.SIGKILL)


def pipe(up: Up) -> dict:
    with urllib.request.urlopen(f"{up.url}/v1/pipe", timeout=5) as answer:
        return json.load(answer)


def test_events_that_are_sent_are_seen_and_counted(up):
    sent = up.run("send", "-", "-o", "json", stdin=lines(*[prediction(k) for k in range(100)]))
    assert json.loads(sent.stdout)["accepted"] == 100

    assert eventually(lambda: sum(pipe(up)["lag_records"].values()) == 0, 10)
    models = json.loads(up.run("model", "list", "-o", "json").stdout)
    assert [(m["model"], m["versions"]) for m in models] == [("spam", 1)]
    tail = up.run("events", "tail", "-n", "5", "-o", "jsonl").stdout
    assert len(tail.splitlines()) == 5


def test_it_is_the_same_on_postgresql(tmp_path, postgres_url):
    up = Up(tmp_path / "data", free_port(), PENSTOCK_DATABASE_URL=postgres_url).ready()
    try:
        sent = up.run("send", "-", stdin=lines(*[prediction(k) for k in range(100)]))
        assert sent.returncode == 0, sent.stderr

        assert eventually(lambda: pipe(up)["counted"] == 100, 10)

        (counts,) = json.loads(up.run("events", "counts", "-o", "json").stdout)
        assert (counts["model"], counts["answered"]) == ("spam", 100)
    finally:
        code, _, err = up.stop(signal.SIGINT)
    assert (code, "error" in err) == (130, False)


def test_a_second_up_is_refused_and_says_who_holds_the_folder(up):
    second = up.run("up")

    assert second.returncode == 1
    assert f"is in use by process {up.process.pid} ".encode() in second.stderr


def test_the_doctor_sees_that_it_runs(up):
    found = json.loads(up.run("doctor", "-o", "json").stdout)

    states = {finding["check"]: finding["state"] for finding in found}
    assert (states["address"], states["clock"]) == ("ok", "ok")


def test_status_shows_every_role_and_that_all_is_well(up):
    assert eventually(lambda: up.run("status").returncode == 0, 20)
    found = json.loads(up.run("status", "-o", "json").stdout)

    assert (found["state"], found["problems"], found["web"]) == ("well", [], up.url)
    assert {p["role"]: p["state"] for p in found["processes"]} == {
        "intake": "works", "control": "works", "web": "works",
    }  # fmt: skip
    assert "relay" in {duty["duty"] for duty in found["duties"]}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_within_two_seconds_and_everything_with_it(own, number, code):
    assert eventually(lambda: len(own.children()) == 3, 10)
    children = own.children()
    begun = time.monotonic()

    ended, out, err = own.stop(number)

    assert (ended, out) == (code, "")
    assert time.monotonic() - begun < 4  # two for the children, and a busy machine
    assert not any(map(running, children))
    assert "Traceback" not in err


def test_a_supervisor_that_is_killed_leaves_nothing_behind_and_can_start_again(own):
    assert eventually(lambda: len(own.children()) == 3, 10)
    children = own.children()

    own.stop(signal.SIGKILL)

    assert eventually(lambda: not any(map(running, children)), 4)
    assert lock.holder(own.folder) is None
    again = Up(own.folder, own.port).ready()
    assert again.stop()[0] == 0


def test_a_child_that_is_killed_comes_back(own):
    assert eventually(lambda: len(own.children()) == 3, 10)
    before = own.children()

    os.kill(before[0], signal.SIGKILL)

    assert eventually(lambda: len(own.children()) == 3 and before[0] not in own.children(), 10)
    own.ready()
    assert "was ended by SIGKILL; starting it again" in own.stop()[2]


def test_a_port_that_is_taken_is_said_at_once(up, tmp_path):
    other = Up(tmp_path / "other", up.port)

    code, _, err = other.stop(0)

    assert code == 1
    assert "PENSTOCK_PORT" in err


def test_an_open_address_without_a_key_is_refused(tmp_path):
    env = os.environ | {
        "PENSTOCK_DATA_DIR": str(tmp_path / "data"),
        "PENSTOCK_PORT": str(free_port()),
        "PENSTOCK_HOST": "0.0.0.0",
    }

    refused = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", "up"],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert refused.returncode == 2
    assert "penstock key create" in refused.stderr
