"""Databases as this release makes them. The migrations run once; each test gets a copy."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url

from penstock.migrations import upgrade
from streams.db.engine import connect
from tests.contracts import postgres


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "upgraded.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: postgres.Server) -> Iterator[str]:
    """Its name."""
    with postgres_server.fresh() as url:
        upgrade(url)
        yield str(make_url(url).database)


@pytest.fixture
def upgraded_sqlite(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "upgraded.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def upgraded_postgres(postgres_server: postgres.Server, postgres_template: str) -> Iterator[str]:
    with postgres_server.fresh(like=postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def ready(request: pytest.FixtureRequest) -> Iterator[Engine]:
    name = {"sqlite": "upgraded_sqlite", "postgresql": "upgraded_postgres"}[request.param]
    engine = connect(str(request.getfixturevalue(name)))
    yield engine
    engine.dispose()
