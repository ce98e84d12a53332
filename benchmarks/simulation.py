"""Monte Carlo of a test that somebody reads again and again: how often does it ever say so?

    path        one simulated history: a function of a random generator, and of nothing else
    looks       the sizes n at which somebody reads the test
    cumulative  counts of every cell at every look, as the product's statistics take them
    first       the look at which a path first said so; None if it never did
    simulate    many paths, each from its own seed, however many workers share them
    Rate        how many paths said so, its standard error, and how many may

>>> from evidence.bets import BoundedMean
>>> from evidence.results import Side
>>> from evidence.sequences import Epoch
>>> def fair_coin(rng: np.random.Generator) -> int | None:
...     at = looks(1_000)
...     counts = cumulative(rng.integers(0, 2, 1_000), (2,), at)
...     coin = BoundedMean((0.0, 1.0), sigma0=0.5)
...     return first(says([Epoch(coin, counts)], 0.5, Side.ABOVE), at)
>>> rate = Rate.of(simulate(fair_coin, 100, seed=4))
>>> rate.hits <= most(rate.replicates)
True
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from evidence.bets import Statistic
from evidence.domain import Ints
from evidence.results import Side
from evidence.sequences import Account, Epoch, log_e

T = TypeVar("T")
Path = Callable[[np.random.Generator], T]
Bools = NDArray[np.bool_]

_CHUNK = 25  # paths handed to a process at a time


@dataclass(frozen=True)
class Rate:
    """How many of the simulated paths said so."""

    hits: int
    replicates: int

    @classmethod
    def of(cls, found: Iterable[object]) -> "Rate":
        """Of what each path found: what is true is a hit; None, False and no units are none."""
        said = [bool(each) for each in found]
        return cls(sum(said), len(said))

    @property
    def share(self) -> float:
        return self.hits / self.replicates

    @property
    def standard_error(self) -> float:
        """Of the share, by Agresti and Coull: not 0 where no path said so."""
        n = self.replicates + 4
        share = (self.hits + 2) / n
        return math.sqrt(share * (1 - share) / n)

    def __str__(self) -> str:
        return f"{self.share:.1%} +- {self.standard_error:.1%} ({self.hits} of {self.replicates})"


def most(replicates: int, alpha: float = 0.05) -> int:
    """The most hits that a rate of at most `alpha` explains: its binomial 99.99 % quantile.

    >>> most(400), most(4_000)
    (38, 253)
    """
    return int(binom.ppf(0.9999, replicates, alpha))


def looks(n: int, stride: int = 1, *, dense: int = 0) -> Ints:
    """A look after every unit up to `dense`, then after every `stride` units, and one at the end.

    >>> looks(10, 4, dense=3)
    array([ 1,  2,  3,  4,  8, 10])
    """
    at = np.arange(1, n + 1)
    return np.asarray(at[(at <= dense) | (at % stride == 0) | (at == n)])


def cumulative(cells: ArrayLike, shape: tuple[int, ...], at: Ints) -> Ints:
    """Counts of every cell at every look, shape (looks, *shape).

    Args:
        cells: the flat cell index of each unit, in the order in which they come.
        shape: shape of the counts of one look.
        at: sizes at which somebody looks, ascending (`looks`).

    >>> cumulative([0, 1, 1, 0], (2,), looks(4, 2))
    array([[1, 1],
           [2, 2]])
    """
    size = math.prod(shape)
    index = np.asarray(cells)[: at[-1]]
    seen = np.repeat(np.arange(len(at)), np.diff(at, prepend=0))[: len(index)]
    flat = np.bincount(seen * size + index, minlength=len(at) * size)
    return flat.reshape(len(at), size).cumsum(axis=0).reshape(len(at), *shape)


def says(
    epochs: Sequence[Epoch],
    effect: float,
    side: Side,
    *,
    alpha: float = 0.05,
    account: Account = log_e,
) -> Bools:
    """Whether the product rejects at each look: E >= 1 / alpha."""
    return np.asarray(account(epochs, effect, side) >= -math.log(alpha))


def growing(statistics: Sequence[Statistic], counts: Sequence[Ints]) -> Iterator[list[Epoch]]:
    """The epochs as they stand at the looks of each: those before are closed, at their last count.

    Args:
        statistics: one for each epoch.
        counts: `cumulative` of each epoch, from 0.
    """
    for now, current in enumerate(counts):
        closed = [np.broadcast_to(counts[e][-1], current.shape) for e in range(now)]
        yield [Epoch(s, c) for s, c in zip(statistics, (*closed, current), strict=False)]


def first(said: Bools, at: Ints) -> int | None:
    """Units at the first look that said so."""
    return int(at[np.argmax(said)]) if said.any() else None


def simulate(
    path: Path[T],
    replicates: int,
    *,
    seed: int | Sequence[int],
    workers: Executor | None = None,
) -> list[T]:
    """What each of `replicates` paths found, each with a generator of its own.

    The generators are spawned from the seed, so the answer hangs on neither the number of workers
    nor their order. With workers `path` must be picklable: a function of a module, a `partial` of
    one, or a frozen dataclass with `__call__`.
    """
    seeds = np.random.SeedSequence(seed).spawn(replicates)
    one = partial(_one, path)
    return list(workers.map(one, seeds, chunksize=_CHUNK) if workers else map(one, seeds))


def processes(count: int) -> Executor:
    """Workers for `simulate`, of one thread each: more would only stand in each other's way."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when a worker imports numpy
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


def _one(path: Path[T], seed: np.random.SeedSequence) -> T:
    return path(np.random.default_rng(seed))
