"""How long partitions stand still when their worker is killed, or is asked to end."""

import os
import signal
import statistics
import threading
import time
from itertools import count

import pytest
from sqlalchemy import select

from penstock.direct import Direct
from penstock.installation import opened
from streams.db.engine import reading
from streams.tables import position
from tests.cli.conftest import lines, prediction
from tests.cluster.fleet import Fleet

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
ROUNDS = 3
PATIENCE_S = 60.0
GOAL_S = {"kill": 2.0, "stop": 1.5}
BUSY = 2.0  # times the goal: other tests run beside, and without a stable name it were five times


@pytest.fixture
def fleet(place, tmp_path):
    fleet = Fleet(place.env, tmp_path / "fleet.log", roles={"w1": "worker", "w2": "worker"})
    yield fleet
    fleet.kill()


class Pulse(threading.Thread):
    """A few events for every partition, twenty times a second."""

    def __init__(self, log) -> None:
        super().__init__(daemon=True)
        self._target = Direct(log)
        self._end = threading.Event()

    def run(self) -> None:
        numbers = count()
        while not self._end.wait(0.05):
            self._target.take(lines(*[prediction(next(numbers)) for _ in range(48)]).splitlines())

    def end(self) -> None:
        self._end.set()
        self.join()


@pytest.fixture
def here(fleet):
    with opened(fleet.settings) as here:
        yield here


@pytest.fixture
def pulse(here):
    pulse = Pulse(here.log)
    pulse.start()
    yield
    pulse.end()


def standing(here):
    """(owner, next) of every partition."""
    with reading(here.engine) as connection:
        rows = connection.execute(
            select(position.c.partition, position.c.owner, position.c.next)
        ).all()
    return {row.partition: (row.owner, row.next) for row in rows}


def until(reached, fleet):
    """The instant at which it was so; whoever has ended meanwhile is started again."""
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, fleet.said
        fleet.keep_up()
        time.sleep(0.02)
    return time.monotonic()


def settled(here, fleet):
    """Both workers count their share; what the first one holds."""

    def held():
        owners = {p: owner for p, (owner, _) in standing(here).items()}
        return [{p for p in owners if owners[p].endswith(f"-{name}")} for name in fleet.pids()]

    until(lambda: [len(some) for some in held()] == [6, 6], fleet)
    mine = held()[0]
    moved_past(here, fleet, mine)
    return mine


def moved_past(here, fleet, partitions):
    """The instant at which each of these has counted something more."""
    before = standing(here)
    return until(
        lambda: all(standing(here)[p][1] > before[p][1] for p in partitions), fleet
    )  # fmt: skip


@pytest.mark.usefixtures("pulse")
def test_a_worker_that_is_killed_or_ended_is_back_within_seconds(fleet, here):
    stalls, stops = [], []
    fleet.keep_up()
    for _ in range(ROUNDS):
        held = settled(here, fleet)
        killed = time.monotonic()
        fleet.end("w1", signal.SIGKILL)
        stalls.append(moved_past(here, fleet, held) - killed)

        settled(here, fleet)
        asked = time.monotonic()
        assert fleet.end("w1", signal.SIGTERM) == os.EX_OK, fleet.said
        stops.append(time.monotonic() - asked)

    print(
        f"\nrecovery after SIGKILL {statistics.median(stalls):.2f} s (goal {GOAL_S['kill']:g}):"
        f" {[round(s, 2) for s in stalls]}; SIGTERM {statistics.median(stops):.2f} s"
        f" (goal {GOAL_S['stop']:g}): {[round(s, 2) for s in stops]}"
    )
    assert statistics.median(stalls) <= BUSY * GOAL_S["kill"]
    assert statistics.median(stops) <= BUSY * GOAL_S["stop"]
