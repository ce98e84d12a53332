"""Real data beside the repository: tests use them where they are, and are skipped elsewhere."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"
NOT_SHIPPED = "real data"
"""How the reason of a skip begins that no installation can mend."""


def shared(name: str) -> Path:
    """A file of them; without it the test is skipped."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{NOT_SHIPPED}: {path} is not there")
    return path
