"""penstock rollout get -w, wait, explain, export and penstock verify, beside a real judge."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from penstock import awaiting, rollouts
from penstock.deciding import Action, Wish
from penstock.settings import Settings
from rollout.decisions import Person
from streams.db.engine import connect
from tests.cli.conftest import written
from tests.rollout.looking import NAME, SPEC, seen

WHY = ("--reason", "it is time", "-y")
SPAM = ("model: spam", "task: classification", "classes: [ham, spam]")
GOOD, OPEN, BAD = (100, 25), (100, 60), (100, 200)


@pytest.fixture
def spam(installed, tmp_path):
    installed("model", "register", "-f", str(written(tmp_path / "model.yaml", *SPAM)))
    for label in ("41", "42"):
        installed("model", "add-version", "spam", label, "--digest", label[-1] * 64)
    path = tmp_path / "rollout.yaml"
    path.write_bytes(SPEC)
    assert installed("rollout", "create", str(path)).code == 0
    return installed


@pytest.fixture
def live(spam):
    assert spam("rollout", "start", NAME, *WHY).code == 0
    return spam


@pytest.fixture
def looked(data_dir):
    """Stores a look at so many errors of champion and challenger."""

    def look(errors):
        engine = connect(Settings(data_dir=data_dir).database)
        found = seen(engine, of=2_000, errors=errors, at_ms=time.time_ns() // 1_000_000)
        engine.dispose()
        return found

    return look


def test_a_look_is_a_table_that_cites_it(live, looked):
    look = looked(BAD)

    shown = live("rollout", "get", NAME).out

    assert f"snapshot {look.digest[7:15]}" in shown
    row = next(line.split() for line in shown.splitlines() if "errors " in line)
    assert row[:3] == ["errors", "0.0625", "0.5"]
    assert row[-3:] == ["+0.1", "x", "crossed"]
    assert f'next:  penstock rollout rollback {NAME} --reason "..."' in shown


def test_explain_says_what_is_held_crossed_or_not_yet_known(live, looked):
    nothing = live("rollout", "explain", NAME).out
    looked(OPEN)
    unknown = live("rollout", "explain", NAME, "-o", "json").json
    looked(GOOD)
    held = live("rollout", "explain", NAME).out

    assert "42: errors: not yet known: no-data" in nothing
    (metric,) = unknown["metrics"]
    assert (metric["state"], metric["required"], metric["guardrail"]) == (
        "not yet known", True, True,
    )  # fmt: skip
    assert unknown["waits"][0]["reason"] == "dwell: 30m"
    assert "42: errors: held: not worse than the margin allows, of 2,000" in held
    assert "self-check: 0 alarms of 1 run, at most 5 % expected" in held


def test_wait_tells_by_its_exit_code(live, looked):
    late = live("rollout", "wait", NAME, "--for", "safe", "--timeout", "0s")
    looked(GOOD)
    safe = live("rollout", "wait", NAME, "--for", "safe", "--timeout", "0s")
    there = live("rollout", "wait", NAME, "--for", "canary", "--timeout", "0s")
    ahead = live("rollout", "wait", NAME, "--for", "canary[1]", "--timeout", "0s")
    unknown = live("rollout", "wait", NAME, "--for", "the end", "--timeout", "0s")
    live("rollout", "rollback", NAME, *WHY)
    back = live("rollout", "wait", NAME, "--for", "promoted", "-o", "json")

    assert [said.code for said in (late, safe, there, ahead, unknown, back)] == [3, 0, 0, 3, 1, 6]
    assert f"next:  penstock rollout explain {NAME}" in late.err
    assert "promoted, safe, done, canary, approval, probation, canary[0], canary[1]" in unknown.err
    assert back.json["stage"] == "rolling-back"


@pytest.mark.usefixtures("live")
def test_wait_ends_as_soon_as_it_is_so(data_dir):
    with rollouts.opened(Settings(data_dir=data_dir)) as here:
        back = Wish(rollout=NAME, action=Action.ROLLBACK, who=Person(name="ann", reason="latency"))
        later = threading.Timer(0.2, rollouts.decide, (here, back))
        later.start()
        met = awaiting.until(here, NAME, "promoted", timeout_s=30)
        later.join()

    assert not met


def test_what_is_piped_has_a_line_for_each_change_until_it_ends(spam):
    spam("rollout", "rollback", NAME, *WHY)

    text = spam("rollout", "get", NAME, "-w").out
    line = spam("rollout", "get", NAME, "-w", "-o", "jsonl")

    assert text.splitlines() == [f"{NAME}  cancelled 0 %  decision 1  (cancel by root: it is time)"]
    assert line.json["stage"] == "cancelled"


@pytest.mark.slow
@pytest.mark.usefixtures("live")
def test_a_terminal_is_drawn_again_and_given_back_at_ctrl_c(data_dir):
    own, theirs = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.main", "rollout", "get", NAME, "-w"],
        stdout=theirs, stderr=theirs, env=os.environ | {"PENSTOCK_DATA_DIR": str(data_dir)},
    )  # fmt: skip
    os.close(theirs)
    told = _until(own, rb"\x1b\[\d+A\r\x1b\[J")
    watching.send_signal(signal.SIGINT)
    code = watching.wait(10)
    told += _until(own, rb"\x1b\[\?25h")
    os.close(own)

    assert code == 130
    assert b"canary[0], 20 %" in told
    assert told.rstrip().endswith(b"\x1b[?25h")
    assert b"Traceback" not in told


def _until(terminal, pattern):
    told, end_s = b"", time.monotonic() + 20
    while not re.search(pattern, told) and time.monotonic() < end_s:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                told += os.read(terminal, 65536)
            except OSError:
                break
    return told


def test_an_export_proves_itself_without_the_installation(live, looked, tmp_path, monkeypatch):
    looked(BAD)
    live("rollout", "promote", NAME, "--override", "errors", *WHY)
    live("rollout", "rollback", NAME, "--reason", "errors on the pager", "-y")
    path = tmp_path / "spam-42.jsonl"
    made = live("rollout", "export", NAME, str(path), "-o", "json").json
    monkeypatch.setenv("PENSTOCK_DATA_DIR", str(tmp_path / "nowhere"))

    whole = live("verify", str(path), "-o", "json")
    text = path.read_bytes()
    path.write_bytes(text.replace(b"errors on the pager", b"errors on the paper"))
    touched = live("verify", str(path))
    absent = live("verify", str(tmp_path / "none"))

    assert (whole.code, whole.json["decisions"], whole.json["looks"]) == (0, 4, 2)
    assert whole.json["head"] == made["head"]
    assert (touched.code, absent.code) == (1, 1)
    assert "error: decision 4, cause: it was changed" in touched.err


def test_a_file_that_cannot_be_written_is_said(live, tmp_path):
    said = live("rollout", "export", NAME, str(tmp_path / "no" / "file"))

    assert said.code == 1
    assert "cannot be written: No such file" in said.err
