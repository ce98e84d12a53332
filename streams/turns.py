"""Turns at the interpreter between a worker's loop and its committer.

A statement is a wait for the server and a little Python. After each wait the committer has to get
the interpreter back from the loop, which may keep it for five milliseconds by Python's default:
longer than most statements take.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

TURN_S = 0.0005


@contextmanager
def short_turns() -> Iterator[None]:
    """Inside, no thread keeps the interpreter from another for longer than TURN_S."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
