"""A process that was asked to end and cannot ends all the same."""

import os
import sys
import threading
import time

STUCK = 3
"""Its exit code."""


def end_in_time(stop: threading.Event, name: str, grace_s: float) -> None:
    """This process lives no longer than `grace_s` past `stop`; where it hung is said on stderr."""

    def watch() -> None:
        stop.wait()
        time.sleep(grace_s)
        print(f"{name} was still busy after {grace_s:g} s", file=sys.stderr, flush=True)
        os._exit(STUCK)

    threading.Thread(target=watch, name="end in time", daemon=True).start()
