"""Exact laws of an e-process on few cells: enumeration and lattices, no Monte Carlo.

Counts of n units over c cells form a lattice. Walking it forward with the probabilities of a null
gives E[E_n], and the probability that E ever crossed a threshold, to rounding.
"""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]
LogE = Callable[[NDArray[np.int64]], Floats]


def histories(n: int, cells: int) -> NDArray[np.int64]:
    """Every way that n units can fall into the cells, shape (ways, cells)."""
    ways = combinations_with_replacement(range(cells), n)
    return np.array([np.bincount(way, minlength=cells) for way in ways], dtype=np.int64)


def expectation(log_e: LogE, p: Sequence[float], n: int) -> float:
    """E[E_n] when every unit falls into cell c with probability p_c."""
    counts = histories(n, len(p)) if n else np.zeros((1, len(p)), dtype=np.int64)
    ways = gammaln(n + 1) - gammaln(counts + 1).sum(axis=1) + counts @ np.log(np.array(p))
    return float(np.exp(ways + log_e(counts)).sum())


def crossing(log_e: LogE, p: Sequence[float], n: int, alpha: float) -> float:
    """P(E ever reaches 1 / alpha within n looks), a look after every unit.

    The lattice of the first cells - 1 counts holds the probability of not having crossed yet.
    """
    dims = len(p) - 1
    alive: Floats = np.ones((1,) * dims)
    crossed = 0.0
    for now in range(1, n + 1):
        after = np.zeros((now + 1,) * dims)
        for cell, each in enumerate(p):
            moved = tuple(slice(int(axis == cell), now + int(axis == cell)) for axis in range(dims))
            after[moved] += each * alive
        places = np.argwhere(after > 0)
        counts = np.column_stack([places, now - places.sum(axis=1)])
        hit = tuple(places[log_e(counts) >= -np.log(alpha)].T)
        crossed += float(after[hit].sum())
        after[hit] = 0.0
        alive = after
    return crossed
