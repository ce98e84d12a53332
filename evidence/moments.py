"""Moments that merge: what the asymptotic methods and the t-test know of a sample."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from evidence.domain import Floats, InputError

_LARGEST = 1e90  # of any value: its cube times any count is still a float64
_ROUNDING = 1e-12  # what is left of a sum below this share of its terms is rounding


@dataclass(frozen=True, eq=False, slots=True)
class Moments:
    """Size, means and central sums of a sample of vectors; `a + b` is both samples together.

        m2_ij = sum (x_i - mean_i)(x_j - mean_j),   m3_ijk likewise

    Plain means have d = 1, ratios (Y, X) and CUPED (post, pre) have d = 2. Sums of squares around
    the mean never cancel the way raw ones do; as floats they still depend on the order in the last
    bits. `Moments()` is the empty element: it adds to anything.

    Args:
        n: how many units.
        mean: shape (d,), in units of the metric.
        m2: shape (d, d).
        m3: shape (d, d, d).

    Raises:
        InputError: shapes that do not fit, a value that is not finite, a negative n or m2_ii.

    References:
        Chan, Golub & LeVeque (1983), American Statistician 37; Pebay (2008), SAND2008-6212.

    >>> left, right = Moments.of([1.0, 2.0]), Moments.of([6.0])
    >>> both = left + right
    >>> both.n, both.mean.item(), both.variance.item(), round(both.skewness.item(), 4)
    (3, 3.0, 7.0, 0.5952)
    """

    n: int = 0
    mean: Floats = field(default_factory=lambda: np.zeros(0))
    m2: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    m3: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", operator.index(self.n))
        d = np.asarray(self.mean).size
        if self.n < 0 or (self.n == 0) != (d == 0):
            raise InputError("n", self.n, f"must be the size of a sample with {d} means")
        for axes, name in enumerate(("mean", "m2", "m3"), start=1):
            given = np.array(getattr(self, name), dtype=float)
            if given.shape != (d,) * axes:
                raise InputError(name, given.shape, f"must have the shape {(d,) * axes}")
            if not np.isfinite(given).all():
                raise InputError(name, given.tolist(), "must be finite")
            given.flags.writeable = False
            object.__setattr__(self, name, given)
        if (np.diagonal(self.m2) < 0).any():
            raise InputError("m2", self.m2.tolist(), "must not be negative on its diagonal")

    @classmethod
    def of(cls, values: ArrayLike) -> "Moments":
        """Moments of one value per unit, shape (n,), or of one row per unit, shape (n, d).

        Raises:
            InputError: another shape, or a value that is not finite or beyond 1e90.
        """
        rows = np.asarray(values, dtype=float)
        rows = rows[:, None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or not rows.shape[1]:
            raise InputError("values", rows.shape, "must have the shape (n,) or (n, d)")
        if not len(rows):
            return cls()
        wild = ~(np.abs(rows) <= _LARGEST)
        if wild.any():
            raise InputError("values", rows[wild][0].item(), "must lie within +-1e90")
        mean = rows.mean(axis=0)
        gaps = rows - mean
        products = gaps[:, :, None] * gaps[:, None, :]
        return cls(len(rows), mean, products.sum(axis=0), np.tensordot(products, gaps, (0, 0)))

    def __add__(self, other: "Moments") -> "Moments":
        """Both samples together; defined when either is empty."""
        if not self.n or not other.n:
            return self if self.n else other
        if self.mean.shape != other.mean.shape:
            rule = f"must have the shape {self.mean.shape} of what it is added to"
            raise InputError("mean", other.mean.shape, rule)
        n, gap = self.n + other.n, other.mean - self.mean
        squares = np.multiply.outer(gap, gap)
        spread = np.multiply.outer(gap, (self.n * other.m2 - other.n * self.m2) / n)
        between = self.n * (other.n / n)
        return Moments(
            n,
            self.mean + gap * (other.n / n),
            self.m2 + other.m2 + squares * between,
            self.m3
            + other.m3
            + np.multiply.outer(squares, gap) * (between * ((self.n - other.n) / n))
            + spread
            + np.moveaxis(spread, 0, 1)
            + np.moveaxis(spread, 0, 2),
        )

    def project(self, weights: Sequence[float]) -> "Moments":
        """Moments, d = 1, of the same sample's linear combination sum_i weights_i x_i.

        What only rounding leaves of the spread is 0: a combination that is constant has none.

        >>> rows = Moments.of([[2.0, 1.0], [4.1, 2.0], [5.9, 3.0]])
        >>> rows.project((1, -2)).mean.round(9), rows.project((1, -2)).variance.round(9)
        (array([0.]), array([0.01]))
        """
        w = np.asarray(weights, dtype=float)
        if w.shape != self.mean.shape or not self.n:
            raise InputError("weights", tuple(weights), f"must be one for each of {self.mean.size}")
        size = np.abs(w)
        rounding = _ROUNDING * (size @ np.abs(self.m2) @ size)
        rounding += self.n * (_ROUNDING * (size @ np.abs(self.mean))) ** 2
        m2 = w @ self.m2 @ w
        varies = m2 > rounding
        return Moments(
            self.n,
            np.array([w @ self.mean]),
            np.array([[m2 if varies else 0.0]]),
            np.array([[[self.m3 @ w @ w @ w if varies else 0.0]]]),
        )

    @property
    def variance(self) -> Floats:
        """Unbiased sample variances, shape (d,); 0 for a single unit."""
        found: Floats = np.diagonal(self.m2) / max(self.n - 1, 1)
        return found

    @property
    def skewness(self) -> Floats:
        """Sample skewness sqrt(n) m3 / m2^(3/2), shape (d,); 0 where nothing varies."""
        squares = np.diagonal(self.m2)
        cubes = np.einsum("iii->i", self.m3)
        varies = np.where(squares > 0, squares, np.inf)
        found: Floats = cubes / varies / np.sqrt(varies) * np.sqrt(self.n)
        return found
