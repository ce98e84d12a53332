"""How much one key may do in a stretch of time; kept in memory, for a bounded number of keys."""

import math
import threading
from collections import OrderedDict

MAX_KEYS = 10_000


class TokenBuckets:
    """Each key may spend `per_s` a second, and up to `burst` seconds' worth at once.

    A rate of 0 is no limit. A spend may overdraw, so that one large batch passes; the next one
    waits until the debt is paid. Safe between threads.
    """

    def __init__(self, per_s: float, *, burst_s: float = 2.0) -> None:
        self._per_s = per_s
        self._burst = per_s * burst_s
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, as of

    def spend(self, key: str, count: int, now_s: float) -> int:
        """0 when `count` was spent, else the seconds to wait before it may be."""
        if not self._per_s:
            return 0
        with self._lock:
            tokens, as_of = self._left.pop(key, (self._burst, now_s))
            tokens = min(self._burst, tokens + (now_s - as_of) * self._per_s)
            wait_s = 0 if tokens > 0 else math.ceil(max(1.0, -tokens / self._per_s))
            self._left[key] = (tokens if wait_s else tokens - count, now_s)
            if len(self._left) > MAX_KEYS:
                self._left.popitem(last=False)
        return wait_s


class MinuteCaps:
    """Each key may do `cap` things in a minute of the clock; the rest is to be left out."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._minute = 0
        self._done: dict[str, int] = {}

    def take(self, key: str, wanted: int, now_s: float) -> int:
        """How many of `wanted` the key may still do now."""
        minute = int(now_s // 60)
        if minute != self._minute:
            self._minute, self._done = minute, {}
        done = self._done.get(key, 0)
        taken = min(wanted, self._cap - done)
        self._done[key] = done + taken
        return taken
