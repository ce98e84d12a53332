"""Python's cycle collector, kept out of the hot loop.

A batch makes a million small objects that all die by reference count; the collector walks them
again and again to find nothing, for a tenth of intake's time. So it runs between batches, rarely.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 10.0


@contextmanager
def collected_between() -> Iterator[Callable[[], None]]:
    """Inside, cycles are collected only by the callable that is given, every ten seconds."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()  # what start-up has made stays; it is not walked again
    gc.disable()
    due_s = time.monotonic() + EVERY_S

    def between() -> None:
        nonlocal due_s
        if time.monotonic() >= due_s:
            gc.collect()
            due_s = time.monotonic() + EVERY_S

    try:
        yield between
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
