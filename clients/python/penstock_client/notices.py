"""What people should know, logged at most once a minute per kind and never by the service's thread.

Messages hold no payload and no key.
"""

import logging
from threading import RLock

_LOG = logging.getLogger("penstock_client")


class Notices:
    """Faults are noted by whoever meets them and logged by the sender."""

    def __init__(self, *, every_s: float) -> None:
        self._every_s = every_s
        self._lock = RLock()
        self._waiting: dict[str, tuple[int, str]] = {}
        self._due_s: dict[str, float] = {}
        self.last: str | None = None

    def note(self, kind: str, text: str) -> None:
        """`text` will be logged, with how often its kind was met since it last was."""
        with self._lock:
            count, _ = self._waiting.get(kind, (0, ""))
            self._waiting[kind] = count + 1, text
            self.last = f"{kind}: {text}"

    @property
    def empty(self) -> bool:
        """Nothing waits to be logged."""
        return not self._waiting

    def log(self, *, now_s: float) -> None:
        """Every kind that is due is in the log; a handler that fails is no concern of ours."""
        with self._lock:
            due = {k: v for k, v in self._waiting.items() if now_s >= self._due_s.get(k, now_s)}
            for kind in due:
                del self._waiting[kind]
                self._due_s[kind] = now_s + self._every_s
        for kind, (count, text) in due.items():
            _LOG.warning("%s (%d times): %s", kind, count, text)
