"""What every statistic refuses: values outside its domain, by name.

`evidence` depends on nothing of Penstock, so its one error is its own; like the error of the same
name in `streams` it is a `ValueError` that carries the field and the rule it broke.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_MOST = np.uint64(2**53)  # the largest count that a float64 still holds exactly


class InputError(ValueError):
    """`argument` has a value outside the domain of the statistic.

    >>> raise InputError("pi", 1.5, "must lie strictly between 0 and 1")
    Traceback (most recent call last):
    evidence.domain.InputError: pi must lie strictly between 0 and 1, not 1.5
    """

    def __init__(self, argument: str, value: object, rule: str) -> None:
        super().__init__(f"{argument} {rule}, not {value!r}")
        self.argument = argument
        self.value = value
        self.rule = rule


def counts(argument: str, value: ArrayLike, shape: tuple[int, ...]) -> Ints:
    """`value` as int64 counts of shape (..., *shape), or `InputError`.

    Floats are refused even when they are whole: a count that went through a float sum is no count.

    >>> counts("cells", [[3, 0], [1, 2]], (2,)).sum()
    np.int64(6)
    """
    given = np.asarray(value)
    if given.shape == (0,):  # the empty element: nothing happened in any cell
        return np.zeros(shape, dtype=np.int64)
    if given.dtype.kind not in "iu":
        raise InputError(argument, given.dtype.name, "must be integers")
    if given.shape[len(given.shape) - len(shape) :] != shape:
        raise InputError(argument, given.shape, f"must have a shape that ends with {shape}")
    found: Ints = given.astype(np.int64, copy=False)
    if (found.view(np.uint64) >= _MOST).any():  # in one pass: a negative number is a large one
        if found.min() < 0:
            raise InputError(argument, int(found.min()), "must not be negative")
        raise InputError(argument, int(found.max()), "must be below 2**53")
    return found


def finite(argument: str, value: float) -> float:
    """`value` as a float that is neither NaN nor infinite.

    >>> finite('margin', 1)
    1.0
    """
    if not math.isfinite(value):
        raise InputError(argument, value, "must be finite")
    return float(value)


def positive(argument: str, value: float) -> float:
    """`value` as a finite float above 0.

    >>> positive('sd', 0.2)
    0.2
    """
    if not (math.isfinite(value) and value > 0):
        raise InputError(argument, value, "must be above 0")
    return float(value)


def open_unit(argument: str, value: float) -> float:
    """`value` as a float strictly between 0 and 1 (an alpha, a probability that is never sure).

    >>> open_unit('alpha', 0.05)
    0.05
    """
    if not 0 < value < 1:
        raise InputError(argument, value, "must lie strictly between 0 and 1")
    return float(value)


def share(argument: str, value: float) -> float:
    """`value` as a float in (0, 1] (an inclusion probability: never 0).

    >>> share('q', 1.0)
    1.0
    """
    if not 0 < value <= 1:
        raise InputError(argument, value, "must be above 0 and at most 1")
    return float(value)


def levels(argument: str, value: ArrayLike, *, least: int = 1) -> Floats:
    """`value` as a read-only vector of at least `least` finite numbers.

    >>> levels('levels', [0, 1], least=2).sum()
    np.float64(1.0)
    """
    given: NDArray[Any] = np.array(value, dtype=np.float64)
    if given.ndim != 1 or len(given) < least:
        raise InputError(argument, given.shape, f"must be a list of at least {least}")
    if not np.isfinite(given).all():
        raise InputError(argument, given[~np.isfinite(given)][0].item(), "must be finite")
    given.flags.writeable = False
    return given
