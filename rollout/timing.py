"""When a simulated future is looked at, and when nothing comes for too long. Pure."""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from rollout.courses import Step
from rollout.spec import Least
from rollout.states import State
from streams.models import DAY_MS, MINUTE_MS, duration_ms

Ints = npt.NDArray[np.int64]

LOOKS = 120
"""In a stretch, shared out to the ages at which outcomes count. Each gap is some per cent of the
time that has passed since."""
_SHORTEST = 1_000  # the first gap is so small a part of the stretch
_NEVER = 1e-15  # a chance


def looks(
    step: Step, state: State, *, from_ms: int, ages_ms: Iterable[int], clocks_ms: Iterable[float]
) -> Ints:
    """From now to the deadline: often at first, then less and less,
    and whenever a clock says that something is due.

    Args:
        ages_ms: at which outcomes count.
        clocks_ms: other times that matter; those that are never are infinite.
    """
    stage, since_ms = step.stage, state.since_ms
    least = getattr(stage, "least", Least())
    spans = [least.age, *(getattr(stage, name, None) for name in ("dwell", "probation"))]
    clocks = [*clocks_ms, *(since_ms + duration_ms(text) for text in spans if text)]
    ends_ms = state.due_from_ms + step.deadline_ms
    if ends_ms <= from_ms:  # only a freeze holds a probation for longer
        ends_ms = from_ms + DAY_MS
    span_ms = max(ends_ms - from_ms, 2 * MINUTE_MS)
    ages = [each for each in set(ages_ms) if span_ms / LOOKS < each < span_ms]
    gaps = np.geomspace(span_ms / _SHORTEST, span_ms, LOOKS // (1 + len(ages)))
    every = np.concatenate(
        [[from_ms, ends_ms, *clocks], *(from_ms + age + gaps for age in [0, *ages])]
    )
    found: Ints = np.unique(np.ceil(every[(every >= from_ms) & (every <= ends_ms)]))
    return found.astype(np.int64)


def silence_ms(pace: float, longest_ms: int, rng: np.random.Generator) -> float:
    """How long until nothing has come for `longest_ms`: the first gap of a Poisson process so long.

    Of the events before that gap each comes as early as one that keeps within it does on average.

    Args:
        pace: events a ms.
    """
    expected = pace * longest_ms
    chance = math.exp(-expected)
    if not pace or chance < _NEVER:
        return math.inf
    gap_ms = (1 - chance * (1 + expected)) / (pace * (1 - chance))
    return longest_ms + gap_ms * float(rng.geometric(chance) - 1)
