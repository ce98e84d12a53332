"""The client against the real server: who is assigned is as the published table says."""

import time
from collections import Counter

import penstock_client
import pytest

from penstock.web.board import LOOK_S
from rollout import readers
from rollout.assignment import arm_of, misassigned
from streams.db.engine import connect, reading
from streams.events import Prediction
from tests.web.places import Place
from tests.web.routed import published
from tests.web.test_serve import Server


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.end()


def test_a_service_follows_the_tables_and_no_event_of_it_is_misassigned(server, tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'penstock.db'}")
    tables = {}
    with penstock_client.Client(
        server.url, "mailguard", champion="40", state_dir=tmp_path / "state"
    ) as client:
        client.record(client.assign("account-0"), label="ham")
        for share in (0.2, 0.6, 0.0):
            table = published(engine, share, unit="account_id", scope={"region": ("EU",)})
            tables[table.version] = table
            _wait(lambda version=table.version: client.stats().route_version == version)
            for k in range(60):
                tags = {"region": "EU" if k % 3 else "US"}
                client.record(client.assign(f"account-{k}", tags), label="ham")
        assert client.flush()
        _wait(lambda: _heard(engine, tables[3]) == (1, 1))
    engine.dispose()
    server.end()
    place = Place(tmp_path)
    events = [event for _, event in place.kept()[0] if isinstance(event, Prediction)]
    place.close()

    arms = Counter((event.route_version, event.arm) for event in events)
    assert arms[None, "champion"] == 1
    for number, table in tables.items():
        expected = Counter(
            arm_of(table, f"account-{k}", {"region": "EU" if k % 3 else "US"}).arm
            for k in range(60)
        )
        assert Counter({arm: n for (v, arm), n in arms.items() if v == number}) == expected
    assert {e.version for e in events} == {"40", "41", "42"}
    assert not any(
        misassigned(
            tables[event.route_version], arm=event.arm, unit_id=event.unit_id,
            prediction_id=event.prediction_id, tags=event.tags or {},
        )
        for event in events if event.route_version is not None
    )  # fmt: skip


def _wait(until):
    deadline = time.monotonic() + LOOK_S + 10
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _heard(engine, table):
    """(services that read this route, those that said that they have this table)"""
    with reading(engine) as connection:
        told = readers.heard(connection, "mailguard", "default", table.rank, now_ms=0)
    return told.readers, told.confirmed
