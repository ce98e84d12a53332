"""Which events of a batch break the fold: a bug of ours must not stop everybody else's events."""

from collections.abc import Callable

from streams.arrivals import Arrivals
from streams.errors import ConfigError
from streams.events import Fault

MAX_CULPRITS = 20  # of one batch, before the worker stops
_OURS = "this is a bug of ours, not of the events"
_STOP = "stop the worker and report the traceback above; nothing is lost"


def without_culprits(arrivals: Arrivals, failure: Callable[[Arrivals], str | None]) -> Arrivals:
    """The arrivals without the events that make the fold fail; these are dead letters.

    Args:
        failure: why some of the arrivals cannot be folded and saved, or None when they can.

    Raises ConfigError when there are more than `MAX_CULPRITS`, and when it fails without any event.
    """
    for _ in range(MAX_CULPRITS):
        reason = failure(arrivals)
        if reason is None:
            return arrivals
        if not len(arrivals):
            raise ConfigError(
                f"a batch without events breaks the fold: {reason}", why=_OURS, fix=_STOP
            )
        culprit, reason = _culprit(arrivals, reason, failure)
        arrivals = arrivals.without({culprit: Fault("processing_error", "", reason)})
    raise ConfigError(f"{MAX_CULPRITS} events of one batch break the fold", why=_OURS, fix=_STOP)


def _culprit(
    arrivals: Arrivals, reason: str, failure: Callable[[Arrivals], str | None]
) -> tuple[int, str]:
    """The last event of the shortest prefix that fails, found by halving, and why it fails."""
    low, high = 0, len(arrivals)
    while high - low > 1:
        middle = (low + high) // 2
        found = failure(arrivals.slice(0, middle))
        if found is None:
            low = middle
        else:
            high, reason = middle, found
    return low, reason
