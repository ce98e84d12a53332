"""The state of every exact statistic: how often each cell happened."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evidence.domain import InputError, Ints, counts


class Cells:
    """Counts that add: `a + b` is exactly what one reader of both inputs would have counted.

    Integer addition is associative and commutative, so partitions, order and replays of distinct
    events cannot move a verdict by one bit. `Cells()` is the empty element: it adds to any shape.
    Arrays of shape (..., cells) may stand wherever a statistic takes counts; leading axes are
    independent (slices, or looks).

    >>> sum([Cells([3, 0]), Cells([1, 2])], Cells())
    Cells([4, 2])
    >>> Cells() + Cells([3, 0]) == Cells([3, 0])
    True

    Raises:
        InputError: a count is negative or no integer, or the shapes differ.
    """

    __slots__ = ("counts",)
    counts: Ints

    def __init__(self, given: ArrayLike | None = None) -> None:
        fixed = np.zeros(0, dtype=np.int64) if given is None else counts("cells", given, ()).copy()
        fixed.flags.writeable = False
        self.counts = fixed

    @property
    def n(self) -> int:
        """How many events all cells hold together."""
        return int(self.counts.sum())

    def __add__(self, other: "Cells") -> "Cells":
        if not self.counts.size:
            return other
        if not other.counts.size:
            return self
        if self.counts.shape != other.counts.shape:
            rule = f"must have the shape {self.counts.shape} of what it is added to"
            raise InputError("cells", other.counts.shape, rule)
        return Cells(self.counts + other.counts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.counts if dtype is None else self.counts.astype(dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cells) and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self.counts.shape, self.counts.tobytes()))

    def __repr__(self) -> str:
        return f"Cells({self.counts.tolist()})"
