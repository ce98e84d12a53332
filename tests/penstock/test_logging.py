"""What a process says on stderr: for people, for programs, and never too much or a secret."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.ops.logging import EVERY_S, MOST, JsonLines, Sparing, TextLines
from penstock.settings import Settings

PASSWORD = "hunter2 & co"


def record(message: str, *args: object, level: int = logging.WARNING, **extra: object):
    made = logging.LogRecord("streams.pipeline", level, "file", 1, message, args, None)
    vars(made).update(extra)
    return made


class Minute:
    """A clock that a test moves."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_line_for_programs_has_time_level_role_worker_event_message_and_fields():
    made = record("waits: %s", "disk full", why="no space")

    line = JsonLines("worker", "w1", ()).format(made)

    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "warning", "role": "worker", "worker": "w1", "logger": "streams.pipeline",
        "event": "waits: %s", "message": "waits: disk full", "why": "no space",
    }  # fmt: skip


def test_a_line_for_people_names_who_says_what():
    line = TextLines("worker", "w1", ()).format(record("waits: %s", "disk full", why="no space"))

    assert line[8:] == " worker w1 warning: waits: disk full (why=no space)"


@pytest.mark.parametrize("kind", [TextLines, JsonLines])
def test_nothing_that_was_said_moves_the_cursor_or_starts_a_line(kind):
    line = kind("worker", "", ()).format(record("seen %s", "a\x1b[2J\nb\u202e"))

    assert "\x1b" not in line
    assert "\n" not in line
    assert "\u202e" not in line


@pytest.mark.parametrize("kind", [TextLines, JsonLines])
def test_no_secret_of_the_settings_is_ever_said(kind):
    settings = Settings(
        database_url="postgresql://ann:hunter2%20%26%20co@db/penstock", kafka_password=PASSWORD
    )
    lines = kind("worker", "", settings.secrets)
    try:
        raise RuntimeError(f"login with {PASSWORD!r} at {settings.database_url}")
    except RuntimeError:
        made = record("refused: %s", PASSWORD, why=settings.database_url)
        made.exc_info = sys.exc_info()

    line = lines.format(made)

    assert "hunter2" not in line
    assert "RuntimeError" in line


def test_the_same_message_comes_once_a_minute_with_a_count_of_the_others():
    clock = Minute()
    sparing = Sparing(clock)

    passed = [sparing.filter(record("waits: %s", "disk full")) for _ in range(60)]
    other = sparing.filter(record("waits: %s", "database away"))
    clock.now_s += EVERY_S
    later = record("waits: %s", "disk full")

    assert passed == [True] + [False] * 59
    assert other
    assert sparing.filter(later)
    assert later.suppressed == 59


def test_a_kind_of_message_whose_details_differ_is_capped():
    clock = Minute()
    sparing = Sparing(clock)

    passed = sum(sparing.filter(record("offset %d is gone", k)) for k in range(10_000))

    assert passed == MOST
    assert len(sparing._windows) < 5_000


def test_a_process_says_it_as_configured_and_what_it_dies_of():
    code = (
        "import logging, sys, warnings\n"
        "from penstock.ops.logging import configure\n"
        "from penstock.settings import read_settings\n"
        "import os; configure(read_settings(os.environ), 'worker')\n"
        "for name in ('streams.x', 'kafka.y', 'other'):\n"
        "    for level in ('debug', 'info', 'warning'):\n"
        "        getattr(logging.getLogger(name), level)(f'{name} {level}')\n"
        "warnings.warn('old')\n"
        "raise RuntimeError('a bug')"
    )

    def said(**settings: str) -> list[dict[str, str]]:
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | settings, capture_output=True, text=True,
            cwd=Path(__file__).parents[2], check=False,
        )  # fmt: skip
        return [json.loads(line) for line in done.stderr.splitlines()]

    usual = said(PENSTOCK_WORKER="w7")
    loud = said(PENSTOCK_LOG_LEVEL="debug")

    assert [line["message"] for line in usual[:3]] == [
        "streams.x info", "streams.x warning", "other warning",
    ]  # fmt: skip
    assert {line["worker"] for line in usual} == {"w7"}
    assert usual[-1]["level"] == "critical"
    assert usual[-1]["exception"].endswith("RuntimeError: a bug")
    assert {line["message"] for line in loud} >= {"streams.x debug", "kafka.y warning"}
