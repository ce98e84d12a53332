"""Databases with the spine's tables and an installation's secret."""

import pytest
from sqlalchemy import Engine

import streams.tables  # noqa: F401 - declares what create_all makes
from streams.db.engine import writing
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
def log() -> spine.ListLog:
    """A log of three partitions whose order and batches the test decides."""
    return spine.ListLog(spine.Hands(), partitions=3)
