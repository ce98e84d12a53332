"""Where a worker stands: a store that was put back, records that are gone, a topic made again."""

import time
from contextlib import contextmanager

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import make_url

from penstock.direct import Direct
from penstock.installation import opened
from penstock.intake import pipeline
from streams import positions
from streams.db.engine import connect, reading
from streams.errors import ConfigError
from streams.tables import gap
from streams.topics import EVENTS
from tests.cli.conftest import lines, prediction
from tests.contracts.logs import KafkaPlace
from tests.crash.content import content, differences

pytestmark = pytest.mark.cluster
PATIENCE_S = 60


@pytest.fixture
def settings(place, engine):
    place.env["PENSTOCK_ENGINE"] = engine
    return place.settings


@pytest.fixture
def topic(kafka_server, topic_prefix):
    return KafkaPlace(kafka_server.address, topic_prefix)


def appended(here, start: int, count: int) -> None:
    body = lines(*[prediction(k) for k in range(start, start + count)])
    assert list(Direct(here.log).take(body.splitlines())) == []


def counted_all(here, owner: str = "w") -> int:
    """Everything in the log is counted; how many records that took."""
    worker, taken = pipeline(here, owner=owner), 0
    deadline = time.monotonic() + PATIENCE_S
    try:
        while True:
            taken += worker.step(timeout_s=0.1)
            with reading(here.engine) as connection:
                standing = positions.standing(connection, consumer="intake", topic=EVENTS.name)
            ends = {p: b.end for p, b in here.log.bounds(EVENTS.name).items()}
            if len(standing) == len(ends) and not any(positions.behind(ends, standing).values()):
                return taken
            assert time.monotonic() < deadline
    finally:
        worker.close()


@contextmanager
def copied(server, url: str):
    """The URL of a copy of a database that nobody works on now."""
    with server.fresh() as empty:
        source, target = make_url(url).database, make_url(empty).database
        admin = connect(make_url(url).set(database="postgres").render_as_string(False))
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"DROP DATABASE {target}"))
            connection.execute(text(f"CREATE DATABASE {target} TEMPLATE {source}"))
        admin.dispose()
        yield empty


def test_a_store_put_back_to_an_older_copy_is_replayed_to_the_same_counts(
    settings, place, postgres_server
):
    with opened(settings, role="intake") as here:
        appended(here, 0, 400)
        counted_all(here)
        here.engine.dispose()
        with copied(postgres_server, settings.database) as older:
            appended(here, 300, 400)
            assert counted_all(here) > 0
            expected = content(here.engine)

            place.env["PENSTOCK_DATABASE_URL"] = older
            with opened(place.settings, role="intake") as restored:
                assert counted_all(restored, owner="after") > 0
                found = content(restored.engine)

    assert differences(found, expected) == []


def test_records_that_retention_took_are_a_gap_that_is_noted_and_stepped_over(settings, topic):
    with opened(settings, role="intake") as here:
        appended(here, 0, 200)
        counted_all(here)
        appended(here, 200, 200)
        topic.forget(EVENTS.name)
        lost = {p: b.begin for p, b in here.log.bounds(EVENTS.name).items()}
        appended(here, 400, 100)

        counted_all(here)

        with reading(here.engine) as connection:
            gaps = connection.execute(select(gap.c.partition, gap.c.to_offset)).all()
            answers = connection.execute(text("SELECT count(*) FROM answer")).scalar_one()
    assert dict(map(tuple, gaps)).items() <= lost.items()
    assert gaps
    assert answers == 300


def test_a_topic_that_was_made_again_is_refused(settings, topic):
    with opened(settings, role="intake") as here:
        appended(here, 0, 50)
        counted_all(here)
        topic.drop(EVENTS.name)
        here.log.ensure(EVENTS.name, settings.partitions)

        with pytest.raises(ConfigError, match="was deleted and made again"):
            counted_all(here)
