"""Single audits: an answer that is looked at stands for those that were not, by its probability.

Whether an answer is one is decided by its permanent random number and its slices alone, before
anybody knows what it is worth. Each stratum has a column for answers that nobody looks at, one for
each outcome, and one for audits that are not resolved: these are at the end that hurts the claim.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from evidence.names import Pair
from rollout.cells import Opened
from rollout.counted import Counted, Side
from rollout.losses import sampled
from streams.answer_rows import Answers

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def weighted(found: Counted) -> Counted:
    """`found`, with its outcomes as estimates of the whole: x = loss / q, 0 where nobody looks.

    E[x] is the mean loss (Horvitz & Thompson 1952), and var x = E[loss^2] / q - mean^2.
    """
    low: list[float] = []
    high: list[float] = []
    for q in found.q:
        each = [level / q for level in found.levels]
        low += [0.0, *each, min(each)]
        high += [0.0, *each, max(each)]
    square = (found.sd**2 + found.centre**2) / min(found.q)
    return replace(
        found, levels=tuple(low), high=tuple(high), sd=math.sqrt(square - found.centre**2)
    )


def width(metric: Counted) -> int:
    """Columns of a stratum."""
    return len(metric.levels) // len(metric.q)


def columns(
    opened: Opened, metric: Counted, answers: Answers, rows: Ints
) -> tuple[Ints, Ints, Bools]:
    """Of each answer: the column of nobody looking, that of waiting for it, whether it is sampled.

    Outcome k = 1, 2, ... of a sampled one stands k behind the first.
    """
    stratum = np.zeros(len(rows), np.int64)
    if len(metric.q) > 1:
        protected = sum(1 << part.slot for part in opened.slices if part.protected)
        stratum += answers.ints("slices")[rows] & protected == 0
    pids = answers.column("pid16")
    first = 1 + stratum * width(metric)
    looked = sampled(opened, metric, [pids[k] for k in rows.tolist()], stratum)
    return first, first + width(metric) - 1, looked


def told(metric: Counted) -> Sequence[int]:
    """The columns of what somebody told of a unit or a pair, in an epoch's cells."""
    if metric.side is Side.PAIRS:
        return range(1, 1 + int(Pair.UNRESOLVED))
    every = range(1, metric.columns)
    if not metric.audited:
        return every
    wide = width(metric)
    return [column for column in every if (column - 1) % wide not in (0, wide - 1)]


def plain(metric: Counted) -> Counted:
    """`metric` with the outcomes of one answer, before they are weighted."""
    levels = tuple(level * metric.q[0] for level in metric.levels[1 : width(metric) - 1])
    return replace(metric, levels=levels, high=())


def expected(metric: Counted, likely: Floats, *, known: float) -> Floats:
    """How likely each column behind the first is of an answer in no protected slice.

    Args:
        likely: of each outcome.
        known: share of the audits that are resolved in time.
    """
    q, none = metric.q[-1], np.zeros(len(metric.levels) - width(metric))
    return np.concatenate([none, [1 - q], q * known * likely, [q * (1 - known)]])
