from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.places import Client, Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    with place.client() as client:
        yield client
