"""Penstock on Kafka and PostgreSQL, as an operator meets it."""

import json
import signal
import time
from pathlib import Path

import pytest

from penstock.settings import ENGINES
from tests.cli.conftest import lines, prediction

pytestmark = pytest.mark.cluster
EVENTS = 3_000


def sent(place, start: int, count: int) -> None:
    events = lines(*[prediction(k) for k in range(start, start + count)]).decode()
    done = place.run("send", "-", stdin=events)
    assert done.returncode == 0, done.stderr


def test_topics_are_never_made_in_passing(bare):
    before = bare.run("db", "upgrade")

    assert before.returncode == 2
    assert "there is no topic" in before.stderr
    assert "penstock topics ensure" in before.stderr

    made = bare.run("topics", "ensure", "-o", "json")
    again = bare.run("topics", "ensure", "-o", "json")

    assert made.returncode == again.returncode == 0, made.stderr + again.stderr
    assert made.stdout == again.stdout
    events = next(t for t in json.loads(made.stdout) if t["topic"] == "events")
    assert (events["partitions"], events["min_insync"]) == (12, 1)
    assert events["retention_ms"] == 7 * 86_400_000
    assert bare.run("db", "upgrade").returncode == 0


def test_another_number_of_partitions_is_refused(place):
    place.env["PENSTOCK_PARTITIONS"] = "6"

    refused = place.run("db", "upgrade")

    assert refused.returncode == 2
    assert "has 12 partitions, not 6" in refused.stderr


def test_two_workers_share_the_events_and_one_of_them_is_killed(place, engine):
    place.env["PENSTOCK_ENGINE"] = engine
    place.serve()
    place.play("control")
    first, _ = place.play("worker", "w1"), place.play("worker", "w2")
    sent(place, 0, EVENTS)

    place.until(lambda: place.counted() > 0)
    first.kill()
    sent(place, EVENTS, EVENTS)
    sent(place, 0, 500)  # again: counted once
    place.play("worker", "w1")

    place.until(lambda: place.counted() >= 2 * EVENTS + 500)
    (counts,) = json.loads(place.run("events", "counts", "-o", "json").stdout)
    assert (counts["model"], counts["answered"]) == ("spam", 2 * EVENTS)
    held = json.loads(place.run("topics", "list", "-o", "json").stdout)
    assert next(t for t in held if t["topic"] == "events")["records"] > 0
    tail = place.run("events", "tail", "-n", "5", "-o", "jsonl")
    assert len(tail.stdout.splitlines()) == 5, tail.stderr


def hears(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal; before that it ends it at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize(
    ("role", "engine"),
    [*(("worker", engine) for engine in ENGINES), ("control", ""), ("web", "")],
)
def test_a_role_ends_when_it_is_asked_to(place, role, engine):
    place.env["PENSTOCK_ENGINE"] = engine or ENGINES[0]
    process = place.play(role, "w1")
    while process.poll() is None and not hears(process.pid, signal.SIGTERM):
        time.sleep(0.05)
    time.sleep(2)
    assert process.poll() is None, place.said.read_text()

    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(10)
    took_s = time.monotonic() - started

    print(f"{role} {engine} ended {took_s:.2f} s after SIGTERM")
    assert code == 0
    assert took_s < 2


def test_a_command_says_that_the_broker_is_away(place):
    place.env["PENSTOCK_KAFKA_SERVERS"] = "127.0.0.1:1"

    away = place.run("topics", "list")

    assert away.returncode == 1
    assert "Kafka could not" in away.stderr


def test_a_worker_waits_for_a_broker_that_is_away_says_so_once_and_can_be_ended(place, engine):
    place.env["PENSTOCK_ENGINE"] = engine
    place.env["PENSTOCK_KAFKA_SERVERS"] = "127.0.0.1:1"
    process = place.play("worker", "w1")

    place.until(lambda: "waits: Kafka could not" in place.said.read_text())
    time.sleep(5)

    assert process.poll() is None
    assert place.said.read_text().count("waits: Kafka") == 1
    process.terminate()
    assert process.wait(10) == 0
