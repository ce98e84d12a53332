"""A thread that is started when it is first needed, and again should it die."""

import time
from collections.abc import Callable
from threading import Lock, Thread

from .notices import Notices

_RESTART_S = 1.0  # how long to wait before a thread that died or did not start is replaced


class Standby:
    """Runs `run` in a thread called `name`, until that is over.

    Args:
        begin: called before each thread that is started.
        over: whether no thread is needed any more.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[], None],
        notices: Notices,
        *,
        begin: Callable[[], None] = lambda: None,
        over: Callable[[], bool],
    ) -> None:
        self._name = name
        self._run = run
        self._notices = notices
        self._begin = begin
        self._over = over
        self._thread: Thread | None = None
        self._starting = Lock()
        self._again_s = 0.0

    @property
    def alive(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self) -> None:
        """There is a thread, or one is tried a second after the last try; nobody waits for it."""
        # Never waits: whoever holds it (perhaps this thread, below a signal handler) is starting.
        if not self._starting.acquire(blocking=False):
            return
        try:
            now_s = time.monotonic()
            if self._over() or self.alive or now_s < self._again_s:
                return
            self._again_s = now_s + _RESTART_S
            self._begin()
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._notices.note(self._name, str(error))
        finally:
            self._starting.release()
