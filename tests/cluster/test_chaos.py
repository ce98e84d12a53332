"""Whatever is killed, frozen, restarted, refused or sent again: the counts are those of an
undisturbed embedded run."""

import time

import pytest

from penstock.installation import opened
from streams.db.engine import reading, writing
from tests.cluster import faults
from tests.cluster.fleet import Fleet
from tests.cluster.resending import Resender
from tests.cluster.weather import Weather
from tests.cluster.wire import Wire
from tests.crash import story
from tests.crash.content import content, differences
from tests.crash.history import history
from tests.crash.killing import Killer
from tests.crash.story import counted_in_peace, declare, sent_under_fire, wait_until_counted

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
SEED = 7
DAYS = 2
KILLS = 14
FAULTS = 0.03  # of the transactions that move a position
LOST_ANSWERS = 0.01  # of all commits
SENT_AGAIN = 0.01  # of the envelopes, and of the events one by one
STRIKES = ("leader", "database", "zombie", "writer")


@pytest.fixture
def wire(postgres_url):
    wire = Wire(postgres_url, share=LOST_ANSWERS, seed=SEED)
    yield wire
    wire.close()


@pytest.fixture
def fleet(place, wire, postgres_url, tmp_path):
    theirs = {"PENSTOCK_DATABASE_URL": wire.url(postgres_url)}
    fleet = Fleet(place.env, tmp_path / "fleet.log", theirs=theirs)
    yield fleet
    fleet.kill()


def test_kills_zombies_restarts_and_faults_change_nothing_that_is_counted(
    fleet, wire, kafka_server, postgres_server, tmp_path
):
    events = history(SEED, now_ms=time.time_ns() // 1_000_000, days=DAYS, requests=6_000)
    killer = Killer(fleet, seed=SEED, gap_s=(1.0, 5.0))
    killer.allowed = KILLS // (DAYS + 1)
    with opened(fleet.settings) as here:
        declare(here.engine, events.begin_ms)
        with writing(here.engine) as connection:
            faults.inject(connection, share=FAULTS)
    resender = Resender(fleet.settings, share=SENT_AGAIN, seed=SEED)
    weather = Weather(
        fleet, kafka_server, postgres_server, strikes=STRIKES, gap_s=(2.0, 3.0), seed=SEED
    )
    resender.start()
    weather.start()

    told = sent_under_fire(events, fleet, killer, tmp_path, per_s=500, kills=KILLS)
    weather.join()
    resender.end()
    fleet.keep_up()
    wait_until_counted(fleet)
    code = fleet.stop()

    with opened(fleet.settings) as here:
        found = content(here.engine)
        with reading(here.engine) as connection:
            failed = faults.drawn(connection)
    print(
        f"\n{events.size:,} events in {told.seconds:.0f} s; killed {dict(killer.kills)},"
        f" {dict(weather.came)}, {failed} faults, {wire.lost} answers to COMMIT lost;"
        f" sent again {told.tries - told.batches} batches, {resender.envelopes} envelopes and"
        f" {resender.events} events astray; {fleet.starts} starts; longest stall"
        f" {told.longest_stall_s:.1f} s, longest drain {told.longest_drain_s:.1f} s"
    )
    expected = counted_in_peace(events, tmp_path / "peace", fleet.settings)
    assert code == 0, fleet.said
    other = differences(found, expected)
    assert not other, "\n".join([f"seed {SEED}", *other])
    assert weather.came == dict.fromkeys(STRIKES, 1)
    assert all((failed, wire.lost, resender.envelopes, resender.events))
    assert all(expected[name] for name in story.MEANT), "the history lacks something"
    assert "Traceback" not in fleet.said, fleet.said
