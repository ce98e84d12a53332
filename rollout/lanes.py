"""Which stretch of the lanes each challenger owns: a function of its place and its share alone.

A unit stands at a fixed point u in [0, 1) (`streams.hashing.assignment_point`). Every two
challengers share a lane, and grow towards each other from its opposite ends:

    challengers  lanes
    1            [0>                                )
    2            [0>                              <1)
    3            [0>              <1)[2>            )
    4            [0>              <1)[2>          <3)

A challenger that reaches the end of the lanes goes on at its other side. So its stretch at a
larger share always holds its stretch at a smaller one: growing moves no enrolled unit, and
shrinking lets those go first that came last. What no challenger owns is the champion's.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from streams.errors import InputError

MILLION = 1_000_000
"""Stretches end at millionths, so that two that meet leave no gap and no overlap."""


class Stretch(NamedTuple):
    """The points u with lo <= u < hi."""

    lo: float
    hi: float

    def holds(self, point: float) -> bool:
        return self.lo <= point < self.hi


def stretches(shares: Sequence[float]) -> list[Stretch]:
    """Who owns which points when challenger k has `shares[k]` of all units in scope.

    The same place of a challenger and number of challengers must be kept for a whole rollout; a
    challenger that is out has share 0.

    Raises:
        InputError: a share is not 0 and not from one millionth to 1, or two stretches overlap.
    """
    ends = [_stretch(k, len(shares), _millionths(k, share)) for k, share in enumerate(shares)]
    taken = sorted((lo, hi, k) for k, (lo, hi) in enumerate(ends) if lo < hi)
    for (_, hi, left), (lo, _, right) in pairwise(taken):
        if lo < hi:
            raise InputError(
                f"challengers {left} and {right} would own the same units: their shares are"
                f" {shares[left]:g} and {shares[right]:g}",
                field="shares",
                rule="disjoint",
                why=f"with {len(shares)} challengers each may have {equal_share(len(shares)):.4g}",
                fix="lower one of the two, or end that challenger first",
            )
    return [Stretch(lo / MILLION, hi / MILLION) for lo, hi in ends]


Points = tuple[Stretch, ...]


def held(given: Sequence[float]) -> Points:
    """The points that challengers owned at the largest shares they ever had, without overlaps.

    Unlike what they own at one time, these may overlap: who is out leaves its lane to others.
    """
    ends = (_stretch(k, len(given), _millionths(k, share)) for k, share in enumerate(given))
    found: list[tuple[int, int]] = []
    for lo, hi in sorted(end for end in ends if end[0] < end[1]):
        if found and lo <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], hi))
        else:
            found.append((lo, hi))
    return tuple(Stretch(lo / MILLION, hi / MILLION) for lo, hi in found)


def fresh(taken: Points, shares: Sequence[float]) -> tuple[float, ...]:
    """How much of all units each arm newly has, the champion first: what was never `taken`.

    Only these are compared: who was taken carries a past with another version. For lanes that do
    not overlap it is `evidence.ramps.enrolment`.
    """
    owned = stretches(shares)
    newly = [_millions(at) - _common(at, taken) for at in owned]
    left = MILLION - sum(map(_millions, taken)) - sum(newly)
    return tuple(size / MILLION for size in (left, *newly))


def _millions(at: Stretch) -> int:
    return round((at.hi - at.lo) * MILLION)


def _common(at: Stretch, taken: Points) -> int:
    return sum(
        max(0, round((min(at.hi, other.hi) - max(at.lo, other.lo)) * MILLION)) for other in taken
    )


def equal_share(challengers: int) -> float:
    """The largest share that all of so many challengers can have at once."""
    lanes = -(-challengers // 2)
    return MILLION // lanes // min(2, challengers) / MILLION


def _millionths(challenger: int, share: float) -> int:
    size = round(share * MILLION) if 0 <= share <= 1 else -1  # -1 for NaN, too
    if size < 0 or (share > 0 and size == 0):
        raise InputError(
            f"challenger {challenger} has the share {share!r}",
            field="shares",
            rule="range",
            fix="0, or from one millionth to 1",
        )
    return size


def _stretch(challenger: int, challengers: int, size: int) -> tuple[int, int]:
    """From its end of its lane into the lane; from the end of the lanes on, to the other side."""
    lanes = -(-challengers // 2)
    start = MILLION * ((challenger + 1) // 2) // lanes
    grows_up = challenger % 2 == 0
    lo, hi = (start, start + size) if grows_up else (start - size, start)
    if hi > MILLION:
        return MILLION - size, MILLION
    return (0, size) if lo < 0 else (lo, hi)
