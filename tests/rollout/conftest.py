import pytest
from sqlalchemy import Engine

from penstock.migrations import upgrade


@pytest.fixture
def ready(engine: Engine, database_url: str) -> Engine:
    """A database as this release makes it."""
    upgrade(database_url)
    return engine
