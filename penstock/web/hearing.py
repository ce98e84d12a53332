"""What services say of the route tables that they decide by, until it is written down."""

import re
import threading
from collections.abc import Iterator

from msgspec.structs import replace
from sqlalchemy import Engine

from rollout import readers
from rollout.readers import Reader
from streams.db.engine import writing

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAMELESS = "nameless/"

Key = tuple[str, str, str]  # model, route, reader


class Hearing:
    """Takes what requests say, from any thread; `flush` writes what is new of it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._said: dict[Key, Reader] = {}
        self._written: dict[Key, Reader] = {}

    def hear(self, held: Reader, served: Reader) -> None:
        """Whoever holds one table is given another, perhaps the same.

        A service that says its name decides by what it holds until it says otherwise. One that
        does not may be many, so each table that was given to them counts until it expires.
        """
        for said in _said(held, served):
            key = said.model, said.route, said.reader
            if self._written.get(key) != said:
                with self._lock:
                    self._said[key] = said

    def flush(self, now_ms: int) -> None:
        """What was said is written. Raises UnavailableError, and keeps it, when it cannot be."""
        with self._lock:
            said = dict(self._said)
        if not said:
            return
        with writing(self._engine) as connection:
            readers.tell(connection, list(said.values()))
        with self._lock:
            self._said = {key: one for key, one in self._said.items() if said.get(key) != one}
        there = {key: one for key, one in self._written.items() if one.expires_ms > now_ms}
        self._written = there | said


def _said(held: Reader, served: Reader) -> Iterator[Reader]:
    if _NAME.fullmatch(held.reader):
        yield held
        return
    for one in (held, served):
        yield replace(one, reader=f"{_NAMELESS}{one.generation}.{one.version}")
