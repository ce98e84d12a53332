"""Databases as this release makes them."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from penstock.migrations import upgrade
from tests.contracts.copies import KINDS, Copies


@pytest.fixture(scope="session")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    return Copies(upgrade, tmp_path_factory.mktemp("upgraded"))


@pytest.fixture(params=KINDS)
def ready(request: pytest.FixtureRequest, upgraded: Copies) -> Iterator[Engine]:
    with upgraded.engine(request.param, request) as engine:
        yield engine
