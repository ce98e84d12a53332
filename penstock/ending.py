"""A process that was asked to end does so at once, and one that cannot all the same."""

import gc
import logging
import os
import threading
import time

STUCK = 3
"""Its exit code."""

_log = logging.getLogger(__name__)


def end_in_time(stop: threading.Event, name: str, grace_s: float) -> None:
    """This process lives no longer than `grace_s` past `stop`; that it hung is said."""

    def watch() -> None:
        stop.wait()
        time.sleep(grace_s)
        _log.critical("%s was still busy after %g s", name, grace_s)
        os._exit(STUCK)

    threading.Thread(target=watch, name="end in time", daemon=True).start()


def forget_nothing() -> None:
    """The interpreter ends without a last walk through all its memory.

    Everything is closed by now. That walk took 0.5 s, and 2 s where the machine was busy.
    """
    gc.freeze()
