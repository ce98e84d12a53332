"""The places that `test_logs.py` runs over; another log joins by a name here."""

from pathlib import Path

import pytest

from tests.contracts.logs import EmbeddedPlace, Place


@pytest.fixture(params=["embedded"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "embedded":
            return EmbeddedPlace(tmp_path)
    raise ValueError(request.param)
