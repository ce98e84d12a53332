"""Simulations take their size from `--replicates`: 400 in CI, 4000 in the nightly run."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--replicates", type=int, default=400, help="simulated runs per cell")


@pytest.fixture(scope="session")
def replicates(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--replicates", 400))
