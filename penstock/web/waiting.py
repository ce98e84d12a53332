"""Long polls: requests that wait until what they ask about is another, or their time is over."""

import asyncio
import resource
from collections.abc import Callable, Coroutine, Hashable, Iterable
from typing import Any, Generic, TypeVar

from fastapi import Request

from penstock.web.problems import Problem

K = TypeVar("K", bound=Hashable)

LONGEST_WAIT_S = 30.0
SCHEMA = {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT_S, "default": 0}
MOST_WAITING = 5_000
_AT_ONCE = 50  # polls that are answered in one turn of the loop
_BREATH_S = 0.005


class Waits(Generic[K]):
    """Who waits for what, by key. All but `keys` and `wake` is for the loop that `start` saw."""

    def __init__(self, *, most: int = MOST_WAITING) -> None:
        self._waiting: dict[K, set[asyncio.Future[None]]] = {}
        self._releases: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        # A connection is a file: what is left of them belongs to ingest.
        self._room = min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self.count = 0

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    def keys(self) -> list[K]:
        """What somebody waits for."""
        return list(self._waiting)

    async def until(
        self, key: K, wait_s: float, gone: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """`key` was woken, or `wait_s` has passed, or the client has `gone`.

        At once when too many wait already: they come back by themselves.
        """
        if self.count >= self._room:
            return
        leaving = asyncio.create_task(gone())
        change = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(change)
        self.count += 1
        try:
            both = {change, leaving}
            await asyncio.wait(both, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            self.count -= 1
            self._leave(key, change)

    def wake(self, keys: Iterable[K]) -> None:
        """Whoever waits for one of these goes on soon; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake, list(keys))

    def _leave(self, key: K, change: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(key, set())
        waiting.discard(change)
        if not waiting:
            self._waiting.pop(key, None)

    def _wake(self, keys: list[K]) -> None:
        due = [change for key in keys for change in self._waiting.pop(key, set())]
        task = asyncio.get_running_loop().create_task(_release(due))
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)


async def gone(request: Request) -> None:
    """The client has ended its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


def wait_s(request: Request) -> float:
    """How long `request` wants to wait. Raises Problem for a time that cannot be."""
    given = request.query_params.get("wait", "0")
    try:
        found = float(given)
    except ValueError:
        found = -1.0
    if not 0 <= found <= LONGEST_WAIT_S:
        raise Problem(
            "bad-parameter", f"wait is {given[:40]!r}; it is 0 to {LONGEST_WAIT_S:g} seconds"
        )
    return found


async def _release(due: list[asyncio.Future[None]]) -> None:
    """Some at a time: thousands of answers in one turn would hold up ingest."""
    for start in range(0, len(due), _AT_ONCE):
        for change in due[start : start + _AT_ONCE]:
            if not change.done():
                change.set_result(None)
        await asyncio.sleep(_BREATH_S)
