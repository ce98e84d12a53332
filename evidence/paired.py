"""S3: both models answered the same request. When they agree, nothing is left to label.

Pairs are the strongest evidence there is: a difference of one point at 6 % disagreement needs some
230 labels, two independent audited arms need tens of thousands.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evidence.bets import DEFAULT_PLAN, Plan, log_wealth
from evidence.domain import Floats, InputError, counts, positive, share
from evidence.names import Pair
from evidence.results import Evidence, Interval, Side
from evidence.shares import share as one_share

__all__ = ["Pair", "PairedDifference", "PairedRatio", "Pairs", "spread", "superiority"]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """How pairs are audited; frozen before the first. Counts: (..., strata, 5).

    Args:
        q: inclusion probability of each stratum, in (0, 1]; (1,) when every label comes.
        sigma0: guessed standard deviation of one weighted pair (`spread`), above 0.
        plan: what the bets are tuned for, in pairs.

    Raises:
        InputError: no stratum, a q outside (0, 1], sigma0 not above 0.
    """

    q: tuple[float, ...] = (1.0,)
    sigma0: float
    plan: Plan = DEFAULT_PLAN

    def __post_init__(self) -> None:
        if not self.q:
            raise InputError("q", self.q, "must name at least one stratum")
        for each in self.q:
            share("q", each)
        positive("sigma0", self.sigma0)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.q), len(Pair))

    def wealth(self, cells: ArrayLike, ratio: float, m: float, side: Side) -> Floats:
        """S1 on x = (loss_B - ratio loss_A) / q, an unresolved pair at the end that hurts."""
        unresolved = -ratio if side is Side.ABOVE else 1.0
        loss = np.array([1.0, -ratio, 1.0 - ratio, 0.0, unresolved])
        outcomes = np.divide.outer(loss, np.array(self.q)).T.ravel()
        found = counts("cells", cells, self.shape)
        flat = found.reshape(*found.shape[:-2], -1).astype(float)
        return log_wealth(flat, outcomes, m, side, self.plan.stakes(self.sigma0))

    def losses(self, cells: ArrayLike) -> tuple[int, float, float]:
        """(pairs, challenger's and champion's weighted errors); unresolved pairs count as none."""
        found = counts("cells", cells, self.shape)
        weighted = (found / np.array(self.q)[:, None]).sum(axis=0)
        both = weighted[Pair.BOTH_WRONG]
        return (
            int(found.sum()),
            float(weighted[Pair.CHALLENGER_WRONG] + both),
            float(weighted[Pair.CHAMPION_WRONG] + both),
        )


@dataclass(frozen=True)
class PairedDifference:
    """Error rate of the challenger minus the champion's, on the same requests.

        x = (loss_B - loss_A) / q,    E[x | past] = error_B - error_A

    S1 on x with n = all pairs: exact at every n under a look after every label. Agreements count 0
    without a label, which is true where the loss hangs on output and label only (not for texts
    drawn at random). A real-valued loss is a `BoundedMean` over the levels of its difference.

    Args:
        pairs: how pairs are audited.

    References:
        McNemar (1947); Horvitz & Thompson (1952) for the weights; S1 for the test.

    Example: 10,000 pairs, 6 % disagree, all those audited.

    >>> from evidence.sequences import Epoch, evidence
    >>> test = PairedDifference(Pairs(sigma0=0.24))
    >>> cells = [[200, 400, 0, 9400, 0]]
    >>> found = evidence([Epoch(test, cells)], 0.0, Side.BELOW, alpha=0.05)
    >>> found.estimate, found.rejects
    (-0.02, True)
    """

    pairs: Pairs
    effects = Interval(-1.0, 1.0)
    monotone = True
    assumes = ("pairs are sampled with the stated probability", "agreeing answers have equal loss")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pairs.shape

    def log_wealth(self, cells: ArrayLike, effect: float, side: Side) -> Floats:
        return self.pairs.wealth(cells, 1.0, effect, side)

    def units(self, cells: ArrayLike) -> int:
        return self.pairs.losses(cells)[0]

    def estimate(self, cells: ArrayLike) -> float | None:
        n, challenger, champion = self.pairs.losses(cells)
        return (challenger - champion) / n if n else None


@dataclass(frozen=True)
class PairedRatio:
    """Error rate of the challenger over the champion's, on the same requests.

        x = (loss_B - r loss_A) / q,    E[x | past] = error_B - r error_A, tested at 0

    Agreements must be audited too (their own stratum of q): errors that both make count in the
    champion's rate. Exact as `PairedDifference`, and monotone in r.

    >>> from evidence.sequences import Epoch, evidence
    >>> test = PairedRatio(Pairs(q=(1.0, 0.1), sigma0=0.5))
    >>> cells = [[100, 400, 0, 500, 0], [0, 0, 20, 9000, 0]]
    >>> found = evidence([Epoch(test, cells)], 1.0, Side.BELOW, alpha=0.05)
    >>> found.estimate, found.rejects
    (0.5, True)
    """

    pairs: Pairs
    effects = Interval(0.0, math.inf)
    monotone = True
    assumes = ("pairs are sampled with the stated probability, agreements too",)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pairs.shape

    def log_wealth(self, cells: ArrayLike, effect: float, side: Side) -> Floats:
        return self.pairs.wealth(cells, effect, 0.0, side)

    def units(self, cells: ArrayLike) -> int:
        return self.pairs.losses(cells)[0]

    def estimate(self, cells: ArrayLike) -> float | None:
        _, challenger, champion = self.pairs.losses(cells)
        if not champion:
            return math.inf if challenger else None
        return challenger / champion


def superiority(
    challenger_wrong: int, champion_wrong: int, side: Side = Side.BELOW, *, alpha: float
) -> Evidence:
    """Sequential McNemar: among decided disagreements, is the challenger wrong less than half?

    S2 at p0 = 1/2 on the challenger's share of the errors; BELOW says that the challenger is
    better. Exact, free of nuisance and order. Under several audit probabilities count only items
    whose permanent random number is below the least q: weights do not enter a share.

    Args:
        challenger_wrong: disagreements in which only the challenger was wrong.
        champion_wrong: disagreements in which only the champion was wrong.

    Raises:
        InputError: a negative count.

    References:
        McNemar (1947); S2 for the test.

    >>> superiority(20, 50, alpha=0.05).rejects
    True
    """
    n = challenger_wrong + champion_wrong
    return one_share(challenger_wrong, n, 0.5, side, alpha=alpha)


def spread(discordant: Sequence[float], q: Sequence[float]) -> float:
    """Standard deviation of a weighted pair: sqrt(sum_s P_s(discordant) / q_s).

    Args:
        discordant: probability that a pair is of stratum s and discordant.
        q: inclusion probability of each stratum.

    Raises:
        InputError: lengths differ, or nothing is discordant.

    >>> round(spread([0.05, 0.01], [1.0, 0.5]), 4)
    0.2646
    """
    if len(discordant) != len(q):
        raise InputError("discordant", tuple(discordant), f"must be one for each of {len(q)} q")
    total = sum(p / share("q", each) for p, each in zip(discordant, q, strict=True))
    return math.sqrt(positive("discordant", total))
