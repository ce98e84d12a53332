"""Where a real number is counted: frozen levels for means, logarithmic buckets for quantiles.

Integer counts are the whole state of an exact statistic. A mean needs outcomes of known value, so
a number goes to one of its two neighbouring levels such that its expectation stays what it was. A
quantile needs only to know on which side of an edge the number lies.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from evidence.domain import Floats, InputError, Ints, finite, positive


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The values that a capped metric takes: geometric between `least` and `cap`, 0 among them.

        0, cap (least / cap)^1, ... cap (least / cap)^(1/k), cap

    and mirrored from 0 down to `floor` where a metric has a sign; each side then gets levels in
    proportion to its octaves. What lies beyond an end counts as that end, so the mean is that of
    the *capped* metric, and the screen says so.

    Args:
        cap: upper end, in units of the metric.
        least: the smallest level above 0; a value below it is counted there, or at 0.
        floor: lower end: 0, or below -`least` (refunds).
        count: how many levels, at least 5.

    Raises:
        InputError: not 0 < least < cap, a floor that is neither 0 nor below -least, a count below 5
            or so large that neighbours are the same float.

    >>> spend = Levels(cap=100.0, least=1.0, count=5)
    >>> spend.values.round(2).tolist()
    [0.0, 1.0, 4.64, 21.54, 100.0]
    >>> spend.rounded([-3.0, 0.25, 0.25, 1e9], [0.5, 0.1, 0.6, 0.5]).tolist()
    [0, 1, 0, 4]
    >>> Levels(cap=100.0, floor=-10.0, least=1.0, count=7).values.round(2).tolist()
    [-10.0, -1.0, 0.0, 1.0, 4.64, 21.54, 100.0]
    """

    cap: float
    least: float
    floor: float = 0.0
    count: int = 64

    def __post_init__(self) -> None:
        positive("least", self.least)
        if finite("cap", self.cap) <= self.least:
            raise InputError("cap", self.cap, f"must be above least ({self.least})")
        if finite("floor", self.floor) and self.floor >= -self.least:
            raise InputError("floor", self.floor, f"must be 0 or below -least ({-self.least})")
        if self.count < 5:
            raise InputError("count", self.count, "must be at least 5")
        if not (np.diff(self.values) > 0).all():
            raise InputError("count", self.count, "must leave neighbouring levels apart")

    @cached_property
    def values(self) -> Floats:
        """The outcome of each cell, rising, shape (count,)."""
        below = self._below()
        sides = [np.zeros(1), self._side(self.cap, self.count - 1 - below)]
        if below:
            sides.insert(0, self._side(self.floor, below)[::-1])
        found = np.concatenate(sides)
        found.flags.writeable = False
        return found

    def _below(self) -> int:
        """How many levels lie below 0: those in proportion to the octaves, two at the least."""
        if not self.floor:
            return 0
        above, below = math.log(self.cap / self.least), math.log(-self.floor / self.least)
        wanted = (self.count - 1) * below / (above + below)
        wanted = math.ceil(wanted - 0.5 - 1e-6)  # a half is one in every unit: 0 to cap gets more
        return min(max(wanted, 2), self.count - 3)

    def _side(self, end: float, count: int) -> Floats:
        """`count` levels from +-least to `end`; written so that a change of unit changes no bit."""
        return end * (self.least / abs(end)) ** np.linspace(1, 0, count)

    def neighbours(self, values: ArrayLike) -> tuple[Ints, Floats]:
        """The level at or below each value, and the probability of the next one.

            P(upper) = (clip(y) - lower) / (upper - lower),  so that  E[level] = clip(y)

        Args:
            values: y, shape (...), in units of the metric.

        Returns:
            Index of the lower level, 0 ... count - 2, and a probability in [0, 1]; shape (...).

        Raises:
            InputError: a value is NaN or infinite.
        """
        y = np.clip(_finite("values", values), self.floor, self.cap)
        index = np.searchsorted(self.values, y, side="right") - 1
        index = np.minimum(index, self.count - 2)
        lower, upper = self.values[index], self.values[index + 1]
        return index, (y - lower) / (upper - lower)

    def rounded(self, values: ArrayLike, uniforms: ArrayLike) -> Ints:
        """The level that each value is counted at, without bias: E[level] = clip(value).

        Args:
            values: shape (...), in units of the metric.
            uniforms: from a hash of each unit's key with a salt of its own, same shape, in [0, 1).

        Raises:
            InputError: a value that is not finite, a uniform outside [0, 1), different shapes.
        """
        index, upper = self.neighbours(values)
        u = _finite("uniforms", uniforms)
        if u.shape != index.shape:
            raise InputError("uniforms", u.shape, f"must have the shape {index.shape} of values")
        if ((u < 0) | (u >= 1)).any():
            raise InputError("uniforms", u[(u < 0) | (u >= 1)][0].item(), "must lie in [0, 1)")
        return index + (u < upper)


@dataclass(frozen=True, kw_only=True)
class LogBuckets:
    """Buckets of a fixed relative width, for latencies.

        edges gamma^i from `least` to `greatest`,   gamma = (1 + error) / (1 - error)

    Bucket i holds edge[i-1] < x <= edge[i]: the counts up to an edge are those of values at or
    below it, exactly. Between the ends every value is within `error` of 2 edge[i] / (1 + gamma).
    What lies beyond an end, 0 included, is in the end bucket.

    Args:
        least, greatest: the range to resolve, in units of the metric, 1e-300 to 1e300.
        error: relative error, 0.01 % to 50 %; at 1 % a factor of 5e8 takes about 1,000 buckets.

    Raises:
        InputError: not 1e-300 <= least < greatest <= 1e300, error outside [0.0001, 0.5].

    References:
        Masson, Rim & Lee (2019), DDSketch, PVLDB 12(12).

    >>> ms = LogBuckets(least=0.001, greatest=500_000.0)
    >>> ms.count
    1005
    >>> bucket = int(ms.of(120.0))
    >>> round(float(ms.edges[bucket - 1]), 1), round(float(ms.edges[bucket]), 1)
    (119.1, 121.5)
    """

    least: float
    greatest: float
    error: float = 0.01

    def __post_init__(self) -> None:
        if not 1e-300 <= self.least < 1e300:
            raise InputError("least", self.least, "must lie between 1e-300 and 1e300")
        if not self.least < self.greatest <= 1e300:
            rule = f"must be above least ({self.least}) and at most 1e300"
            raise InputError("greatest", self.greatest, rule)
        if not 1e-4 <= self.error <= 0.5:
            raise InputError("error", self.error, "must lie between 0.0001 and 0.5")

    @property
    def gamma(self) -> float:
        return (1 + self.error) / (1 - self.error)

    @cached_property
    def edges(self) -> Floats:
        """Rising; the first is at most `least` and the last at least `greatest`."""
        first = math.floor(math.log(self.least, self.gamma))
        last = math.ceil(math.log(self.greatest, self.gamma))
        found = self.gamma ** np.arange(first, last + 1, dtype=float)
        found.flags.writeable = False
        return found

    @property
    def count(self) -> int:
        """Buckets: one more than edges."""
        return len(self.edges) + 1

    def of(self, values: ArrayLike) -> Ints:
        """The bucket of each value, 0 ... count - 1, shape (...); NaN and infinity are refused."""
        return np.searchsorted(self.edges, _finite("values", values), side="left")


def _finite(argument: str, value: ArrayLike) -> Floats:
    given = np.asarray(value, dtype=np.float64)
    if not np.isfinite(given).all():
        raise InputError(argument, given[~np.isfinite(given)][0].item(), "must be finite")
    return given
