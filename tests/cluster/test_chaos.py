"""Whatever is killed, frozen, restarted, refused or sent again: the counts are those of an
undisturbed embedded run."""

import pytest

from tests.cluster.chaos import LOST_ANSWERS, Plan, chaos
from tests.cluster.fleet import Fleet
from tests.cluster.wire import Wire
from tests.crash import story
from tests.crash.content import differences

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
PLAN = Plan(
    seed=7, days=2, requests=7_000, per_s=400, kills=14, gap_s=(1.0, 5.0),
    strikes=("leader", "database", "zombie", "writer"), strike_gap_s=(1.0, 2.0),
)  # fmt: skip


@pytest.fixture
def wire(postgres_url):
    wire = Wire(postgres_url, share=LOST_ANSWERS, seed=PLAN.seed)
    yield wire
    wire.close()


@pytest.fixture
def fleet(place, wire, postgres_url, tmp_path, engine):
    theirs = {"PENSTOCK_DATABASE_URL": wire.url(postgres_url), "PENSTOCK_ENGINE": engine}
    fleet = Fleet(place.env, tmp_path / "fleet.log", theirs=theirs)
    yield fleet
    fleet.kill()


def test_kills_zombies_restarts_and_faults_change_nothing_that_is_counted(
    fleet, wire, kafka_server, postgres_server, tmp_path
):
    outcome = chaos(PLAN, fleet, wire, kafka_server, postgres_server, tmp_path)

    print(f"\n{outcome}")
    assert outcome.code == 0, outcome.said
    other = differences(outcome.found, outcome.expected)
    assert not other, "\n".join([f"seed {PLAN.seed}", *other])
    assert outcome.struck == dict.fromkeys(PLAN.strikes, 1)
    assert all(
        (outcome.faults, outcome.lost_answers, outcome.envelopes_again, outcome.events_astray)
    )
    assert all(outcome.expected[name] for name in story.MEANT), "the history lacks something"
    assert "Traceback" not in outcome.said, outcome.said
