"""`python -m penstock.child ROLE`: one child of `penstock up`.

It ends when its standard input closes, on SIGTERM, or when its role ends.
"""

import logging
import os
import signal
import sys
import threading
import time

from streams.errors import Error

GRACE_S = 1.8
"""Less than the supervisor's, so that a hanging child can still say where it hung."""


def main() -> None:
    """Plays the role named on the command line."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    for watch in (_until_the_pipe_closes, _in_time):
        threading.Thread(target=watch, args=(stop,), daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")

    from penstock.settings import read_settings
    from penstock.wiring import PLAYED

    role = sys.argv[1]
    try:
        PLAYED[role](read_settings(os.environ), stop)
    except Error as error:
        sys.exit(" ".join(filter(None, (f"{role}: {error.message}.", error.why, error.fix))))


def _until_the_pipe_closes(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


def _in_time(stop: threading.Event) -> None:
    """A role that does not end when asked is ended."""
    stop.wait()
    time.sleep(GRACE_S)
    print(f"{sys.argv[1]} was still busy after {GRACE_S} s", file=sys.stderr, flush=True)
    os._exit(3)


if __name__ == "__main__":
    main()
