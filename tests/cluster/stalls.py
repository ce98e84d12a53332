"""How long records waited while nothing of their partition was counted."""

import threading
import time

from penstock.installation import opened
from penstock.settings import Settings
from streams import positions
from streams.db.engine import reading
from streams.errors import Error
from streams.topics import EVENTS

LOOK_S = 0.2


class Stalls(threading.Thread):
    """Watches every partition until `end`; a broker or database that is away stalls them all."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._done = threading.Event()
        self._next: dict[int, int] = {}
        self._since: dict[int, float] = {}  # when each partition moved last, or had nothing unread
        self.longest_s = 0.0

    def run(self) -> None:
        while not self._done.is_set():
            try:
                with opened(self._settings) as here:
                    while not self._done.wait(LOOK_S):
                        ends = {p: bounds.end for p, bounds in here.log.bounds(EVENTS.name).items()}
                        with reading(here.engine) as connection:
                            standing = positions.standing(
                                connection, consumer="intake", topic=EVENTS.name
                            )
                        self._note(ends, {p: at.next for p, at in standing.items()})
            except Error:  # looked at again when it is back
                time.sleep(LOOK_S)

    def end(self) -> float:
        """Seconds of the longest stall."""
        self._done.set()
        self.join()
        return self.longest_s

    def _note(self, ends: dict[int, int], standing: dict[int, int]) -> None:
        now = time.monotonic()
        for partition, end in ends.items():
            at = standing.get(partition, 0)
            stood = now - self._since.setdefault(partition, now)
            if at != self._next.get(partition) or at >= end:
                self._since[partition], self._next[partition] = now, at
            self.longest_s = max(self.longest_s, stood)
