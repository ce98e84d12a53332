"""Variants of a test on the same simulated data: how often does each ever say so?"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.simulation import Rate, growing, says, simulate
from evidence.bets import Statistic
from evidence.domain import Ints
from evidence.results import Side
from evidence.sequences import Account, log_e

THRESHOLD = math.log(20)  # of a log e-value, at alpha = 0.05

Variants = Callable[[np.random.Generator], Sequence[bool | np.bool_]]


def rates(path: Variants, replicates: int, *, seed: int) -> list[Rate]:
    """One rate for each variant that a path answers for, in its order."""
    found = zip(*simulate(path, replicates, seed=seed), strict=True)
    return [Rate.of(map(bool, each)) for each in found]


def ever(
    statistics: Sequence[Statistic],
    counts: Sequence[Ints],
    effect: float,
    side: Side,
    *,
    account: Account = log_e,
) -> bool:
    """Whether any look of any epoch says so, at alpha = 0.05."""
    epochs = growing(statistics, counts)
    return any(says(each, effect, side, account=account).any() for each in epochs)
