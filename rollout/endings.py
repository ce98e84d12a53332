"""What became of a simulated future, and of each step in it."""

from typing import Literal

from msgspec import Struct

from rollout.stages import Signal

Outcome = Literal["promoted", "rolled back", "paused"]


class Passed(Struct, frozen=True, kw_only=True):
    """A step of one future: the days in it, whether it was advanced from, and the gates that
    opened last.
    """

    step: str
    days: float
    advanced: bool
    gates: tuple[str, ...]


class Ended(Struct, frozen=True, kw_only=True):
    """What became of one future.

    Args:
        outcome: of a course without full weight, "promoted" says that it came to its end.
        signal: the last decision.
        safe: metrics that some look called safe.
        labels: that people gave.
        extra: bad outcomes more than the champion's, by metric.
    """

    outcome: Outcome
    signal: Signal
    days: float
    steps: tuple[Passed, ...]
    safe: frozenset[str]
    labels: float
    extra: dict[str, float]
