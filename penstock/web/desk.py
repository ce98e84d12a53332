"""Services that wait for people to confirm their answers: each is told as soon as one did.

While somebody waits, a thread looks at those reviews four times a second. Whoever finds that the
time of one is over writes so before it says so, whether or not `penstock control` runs.
"""

import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from penstock.rollouts import Store
from penstock.web.waiting import MOST_WAITING, Waits
from rollout import reviews
from rollout.reviews import Review, State
from streams.db.engine import reading, writing
from streams.errors import Error

LOOK_S = 0.25

_log = logging.getLogger(__name__)


class Desk:
    """Reviews that services wait for; `closed` is for the loop that it was started on."""

    def __init__(self, here: Store, *, most_waiting: int = MOST_WAITING) -> None:
        self._here = here
        self._waits = Waits[str](most=most_waiting)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reviews", daemon=True)

    def start(self) -> None:
        self._waits.start()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def waiting(self) -> int:
        """How many wait for a review."""
        return self._waits.count

    async def closed(
        self, id: str, wait_s: float, gone: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """The review is closed, or as `Waits.until` says."""
        await self._waits.until(id, wait_s, gone)

    def found(self, id: str) -> Review | None:
        """The review as it stands now. Raises UnavailableError when the database is away."""
        found = self._read(id)
        if found is None or not self._is_late(found.state, found.deadline_ms):
            return found
        self._time_out()
        return self._read(id)

    def look(self) -> None:
        """Whoever waits for a review that is closed, or whose time is over, goes on."""
        with reading(self._here.engine) as connection:
            found = reviews.standing(connection, self._waits.keys())
        self._waits.wake(
            id
            for id, (state, due_ms) in found.items()
            if state is not State.OPEN or self._is_late(state, due_ms)
        )

    def _read(self, id: str) -> Review | None:
        with reading(self._here.engine) as connection:
            return reviews.found(connection, id)

    def _is_late(self, state: State, due_ms: int) -> bool:
        return state is State.OPEN and due_ms <= self._here.clock.domain_ms()

    def _time_out(self) -> None:
        clock = self._here.clock
        with writing(self._here.engine) as connection:
            reviews.time_out(connection, now_ms=clock.domain_ms(), wall_ms=clock.wall_ms())

    def _run(self) -> None:
        fault = ""
        while not self._stopped.wait(LOOK_S):
            if not self._waits.count:
                continue
            try:
                self.look()
                fault = ""
            except Error as error:
                if error.message != fault:
                    _log.warning("reviews cannot be read: %s", error.message)
                fault = error.message
            except Exception:  # every service that waits hangs on this thread
                _log.exception("looking at reviews failed; trying again")
