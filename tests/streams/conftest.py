"""Databases with the spine's tables and an installation's secret."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

import streams.tables  # noqa: F401 - declares what create_all makes
from streams.db.engine import connect, writing
from streams.db.metadata import metadata
from tests.contracts.copies import KINDS, Copies
from tests.streams import spine


def _install(url: str) -> None:
    engine = connect(url)
    with writing(engine) as connection:
        metadata.create_all(connection)
    spine.prepare(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """An installation that has counted nothing yet."""
    return Copies(_install, tmp_path_factory.mktemp("installed"))


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, installed: Copies) -> Iterator[Engine]:
    """The same on SQLite and on PostgreSQL."""
    with installed.engine(request.param, request) as engine:
        yield engine


@pytest.fixture
def sqlite_store(request: pytest.FixtureRequest, installed: Copies) -> Iterator[Engine]:
    """The same on SQLite alone, for many cases of pure rules."""
    with installed.engine("sqlite", request) as engine:
        yield engine


@pytest.fixture
def log() -> spine.ListLog:
    """A log of three partitions whose order and batches the test decides."""
    return spine.ListLog(spine.Hands(), partitions=3)
