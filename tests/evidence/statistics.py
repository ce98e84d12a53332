"""One of every exact statistic, for the laws that all of them keep."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evidence.audited import AuditedMean
from evidence.bets import BoundedMean, Plan, Statistic
from evidence.effects import Arms, Difference, Ratio
from evidence.paired import PairedDifference, PairedRatio, Pairs
from evidence.risks import EventShare, OneArmShare

RATE = Arms(pi=0.2, centre=0.05, sd=0.2, plan=Plan(n_star=1_000))
MONEY = Arms(levels=(0.0, 1.0, 2.5, 7.0), pi=0.05, centre=0.5, sd=1.4)


class Case(NamedTuple):
    """A statistic, an effect to test, and how units usually fall into its cells."""

    statistic: Statistic
    effect: float
    usual: ArrayLike

    def sample(self, n: int, seed: int) -> np.ndarray:
        p = np.broadcast_to(np.asarray(self.usual, dtype=float), self.statistic.shape).ravel()
        drawn = np.random.default_rng(seed).multinomial(n, p / p.sum())
        return drawn.reshape(self.statistic.shape)


EVERY = {
    "a bounded mean": Case(BoundedMean((-1.0, 0.0, 2.0), sigma0=0.8), 0.25, (1, 2, 1)),
    "outcomes that are known as ranges": Case(
        BoundedMean((0.0, 1.0, 0.0), sigma0=0.5, high=(0.0, 1.0, 1.0)), 0.3, (6, 3, 1)
    ),
    "a difference of rates": Case(Difference(RATE), 0.01, [[0.76, 0.04], [0.19, 0.01]]),
    "a difference of means": Case(Difference(MONEY), -0.2, [[19 * k] * 4 for k in (19, 1)]),
    "a ratio of rates": Case(Ratio(RATE), 1.5, [[0.76, 0.04], [0.185, 0.015]]),
    "a ratio of means": Case(Ratio(MONEY), 0.9, [[19 * k] * 4 for k in (19, 1)]),
    "a paired difference": Case(
        PairedDifference(Pairs(q=(1.0, 0.5, 0.02), sigma0=0.4)), 0.005, (2, 3, 1, 94, 0)
    ),
    "a paired ratio": Case(PairedRatio(Pairs(q=(1.0, 0.1), sigma0=0.4)), 1.2, (2, 3, 1, 94, 0)),
    "an event share": Case(EventShare(pi=0.05), 1.5, (0.94, 0.06)),
    "a ceiling": Case(OneArmShare(), 0.08, (0.95, 0.05)),
    "an audited mean": Case(
        AuditedMean(ladder=(0.5, 0.1), predicted=(0.05, 0.6), sigma0=0.9),
        0.1,
        [[[250, 240, 10, 0], [50, 20, 30, 0]], [[900, 97, 3, 0], [90, 3, 7, 0]]],
    ),
}
