"""What one worker has done since it started; whoever watches it reads along, from any thread."""

from bisect import bisect_left
from collections import Counter

import msgspec

from streams.arrivals import Arrivals
from streams.batch import Counted

BATCH_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
DELAY_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0)


class Spread(msgspec.Struct):
    """How many values were at most each bound, and the sum of all; the last count has no bound."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    @classmethod
    def over(cls, bounds: tuple[float, ...]) -> "Spread":
        """No values yet."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def add(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


class Taken(msgspec.Struct):
    """Counts of one worker."""

    events: int = 0
    answers: int = 0
    labels: int = 0
    rejected: int = 0
    batches: int = 0
    folds_again: int = 0  # batches that lost against another transaction and were folded anew
    waits: int = 0  # times that log or store were away, full or busy
    waiting: str = ""  # why it waits now, or empty
    by_code: Counter[str] = msgspec.field(default_factory=Counter)  # dead letters
    batch_s: Spread = msgspec.field(default_factory=lambda: Spread.over(BATCH_S))
    # Of each event, from the log to the commit: as long as that of the oldest in its batch.
    delay_s: Spread = msgspec.field(default_factory=lambda: Spread.over(DELAY_S))

    def add(self, arrivals: Arrivals, counted: Counted, *, now_ms: int) -> None:
        """A batch was committed at `now_ms` of the log's clock."""
        self.events += len(arrivals)
        self.answers += counted.answers
        self.labels += counted.labels
        self.rejected += len(counted.letters)
        self.by_code.update(letter.code for letter in counted.letters)
        self.batches += 1
        if len(arrivals):
            oldest_ms = now_ms - int(arrivals.appended_ms.min())
            self.delay_s.add(max(0, oldest_ms) / 1000, len(arrivals))
