"""`python -m penstock.child ROLE`: one child of `penstock up`.

It ends when its standard input closes, on SIGTERM, or when its role ends.
"""

import logging
import os
import signal
import sys
import threading

from penstock.ending import end_in_time, forget_nothing
from streams.errors import Error

GRACE_S = 1.8
"""Less than the supervisor's, so that a hanging child can still say where it hung."""

TELLING = ("intake", "control")
"""The children with health and metrics of their own, on PENSTOCK_OPS_PORT and the next."""


def main() -> None:
    """Plays the role named on the command line."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_until_the_pipe_closes, args=(stop,), daemon=True).start()
    end_in_time(stop, sys.argv[1], GRACE_S)

    from penstock.ops.logging import configure
    from penstock.ops.server import serving
    from penstock.ops.vitals import Vitals
    from penstock.settings import read_settings
    from penstock.wiring import PLAYED

    role = sys.argv[1]
    try:
        settings = read_settings(os.environ)
        configure(settings, role)
        vitals = Vitals(role)
        with serving(vitals, settings.ops_host, _ops_port(settings.ops_port, role)):
            PLAYED[role](settings, stop, vitals)
    except Error as error:
        said = {"why": error.why, "next": error.fix}
        logging.getLogger(__name__).critical("ends: %s", error.message, extra=said)
        sys.exit(1)
    forget_nothing()


def _ops_port(first: int, role: str) -> int:
    """Children share a machine, so each has a port of its own; web tells on the one it serves."""
    return first + TELLING.index(role) if first and role in TELLING else 0


def _until_the_pipe_closes(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


if __name__ == "__main__":
    main()
