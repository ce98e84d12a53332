"""Databases with the spine's tables and an installation's secret."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

import streams.tables  # noqa: F401 - declares what create_all makes
from streams.db.engine import connect, writing
from streams.db.metadata import metadata
from tests.streams import spine


@pytest.fixture
def store(engine: Engine) -> Engine:
    """An installation that has counted nothing yet, on SQLite and on PostgreSQL."""
    with writing(engine) as connection:
        metadata.create_all(connection)
    spine.prepare(engine)
    return engine


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Engine]:
    """The same on SQLite alone, for many cases of pure rules."""
    engine = connect(sqlite_url)
    with writing(engine) as connection:
        metadata.create_all(connection)
    spine.prepare(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def log() -> spine.ListLog:
    """A log of three partitions whose order and batches the test decides."""
    return spine.ListLog(spine.Hands(), partitions=3)
