"""A `penstock up` of the test's own, gone with all its children when the test ends."""

import time

import pytest

from penstock.settings import Settings
from tests.contracts.postgres import free_port
from tests.crash.killing import Service
from tests.processes import running


@pytest.fixture
def service(tmp_path):
    service = Service(Settings(data_dir=tmp_path / "data", port=free_port()), tmp_path / "up.log")
    yield service
    children = service.kill()
    deadline = time.monotonic() + 10
    while any(map(running, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
