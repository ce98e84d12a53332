"""Whatever is killed, frozen or restarted: the counts are those of an undisturbed embedded run."""

import os
import signal
import threading
import time
from contextlib import suppress

import pytest

from penstock.installation import opened
from tests.cluster.fleet import Fleet
from tests.crash import story
from tests.crash.content import content, differences
from tests.crash.history import history
from tests.crash.killing import Killer
from tests.crash.story import counted_in_peace, declare, sent_under_fire, wait_until_counted

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
FROZEN_S = 13  # longer than a member's session


@pytest.fixture
def fleet(place, tmp_path):
    fleet = Fleet(place.env, tmp_path / "fleet.log")
    yield fleet
    fleet.kill()


class Weather(threading.Thread):
    """Beside the kills: a worker frozen past its session, a broker killed, a database restarted."""

    def __init__(self, fleet, kafka, postgres) -> None:
        super().__init__(daemon=True)
        self._fleet, self._kafka, self._postgres = fleet, kafka, postgres
        self.came: list[str] = []

    def run(self) -> None:
        time.sleep(3)
        (broker,) = self._kafka.nodes
        broker.kill()
        broker.start()
        self.came.append("broker")
        self._postgres.restart(mode="immediate")
        self.came.append("database")
        if pid := self._fleet.pids().get("w2"):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(FROZEN_S)
            with suppress(ProcessLookupError):  # killed while it was frozen
                os.kill(pid, signal.SIGCONT)
            self.came.append("zombie")


def test_kills_zombies_and_restarts_change_nothing_that_is_counted(
    fleet, kafka_server, postgres_server, tmp_path
):
    seed, days, kills = 7, 3, 16
    events = history(seed, now_ms=time.time_ns() // 1_000_000, days=days, requests=4_000)
    killer = Killer(fleet, seed=seed, gap_s=(0.5, 3.0))
    killer.allowed = kills // (days + 1)
    with opened(fleet.settings) as here:
        declare(here.engine, events.begin_ms)
    weather = Weather(fleet, kafka_server, postgres_server)
    weather.start()

    told = sent_under_fire(events, fleet, killer, tmp_path, per_s=1_500, kills=kills)
    weather.join()
    fleet.keep_up()
    wait_until_counted(fleet)
    code = fleet.stop()

    print(
        f"\n{events.size:,} events, {told.tries - told.batches} batches sent again,"
        f" killed {dict(killer.kills)}, {weather.came}, {fleet.starts} starts;"
        f" longest stall {told.longest_stall_s:.1f} s, longest drain {told.longest_drain_s:.1f} s"
    )
    with opened(fleet.settings) as here:
        found = content(here.engine)
    expected = counted_in_peace(events, tmp_path / "peace", fleet.settings)
    assert code == 0, fleet.said
    other = differences(found, expected)
    assert not other, "\n".join([f"seed {seed}", *other])
    assert weather.came == ["broker", "database", "zombie"]
    assert all(expected[name] for name in story.MEANT), "the history lacks something"
    assert "Traceback" not in fleet.said, fleet.said
