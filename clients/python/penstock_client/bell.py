"""How the service's threads wake the sender."""

from contextlib import suppress
from threading import Lock


class Bell:
    """Rings once however often it was struck; heard by one thread.

    `threading.Event` holds a lock while it is set, on which a signal handler that interrupts it
    would wait for ever. Releasing a lock is one step that nothing can interrupt.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def strike(self) -> None:
        """Whoever waits for it, or will, hears it."""
        with suppress(RuntimeError):  # it was struck already
            self._lock.release()

    def wait(self, timeout_s: float) -> None:
        """It was struck, or `timeout_s` has passed; it is silent again."""
        self._lock.acquire(timeout=timeout_s)

    def silence(self) -> None:
        """Earlier strikes will not be heard."""
        self._lock.acquire(blocking=False)
