"""Databases in a state that is made once: making all tables takes longer than most tests."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pytest
from sqlalchemy import Engine

from streams.db.engine import connect

KINDS = ("sqlite", "postgresql")


class Copies:
    """Copies of what `make` makes of an empty database, given its URL."""

    def __init__(self, make: Callable[[str], object], folder: Path) -> None:
        self._make = make
        self._folder = folder

    @contextmanager
    def engine(self, kind: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
        """An engine on a copy of this kind, for the test that asks."""
        if kind == "postgresql":
            with request.getfixturevalue("postgres_server").fresh(self._make) as url:
                yield from self._connected(url)
            return
        path = request.getfixturevalue("tmp_path") / "copy.db"
        shutil.copy(self._file, path)
        yield from self._connected(f"sqlite:///{path}")

    def _connected(self, url: str) -> Iterator[Engine]:
        engine = connect(url)
        yield engine
        engine.dispose()

    @cached_property
    def _file(self) -> Path:
        path = self._folder / "made.db"
        self._make(f"sqlite:///{path}")
        return path
