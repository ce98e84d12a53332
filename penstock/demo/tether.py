"""A child of the demo ends when the demo does, however that ends."""

import os
import signal
import threading


def end_with_parent() -> None:
    """SIGTERM comes when standard input closes: its other end is held by the demo alone."""
    threading.Thread(target=_wait, name="tether", daemon=True).start()


def _wait() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def forget_settings() -> None:
    """What the surrounding shell says about another installation does not reach this one."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        del os.environ[name]
