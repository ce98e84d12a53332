"""S2 on log odds ratios: relative risk from the events alone, and ceilings.

    ln W_u = u k - n ln(1 - p0 + p0 e^u),   u = +-2^(o - 2),  o = -7, -6.5 ... 7

is the likelihood ratio of the odds ratio e^u against the share p0. Bettor j means the same in every
epoch even when the assignment, and with it p0, changes between them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evidence.bets import OFFSETS
from evidence.domain import Floats, Ints, counts, open_unit
from evidence.results import Interval, Side
from evidence.shares import SAME

TILTS: Floats = np.exp2(OFFSETS - 2)  # from 0.2 % over 28 % to e^32: no plan to be wrong about
TILTS.flags.writeable = False

SPLIT = "each unit falls into an arm with the assigned probability, whatever came before"


@dataclass(frozen=True)
class EventShare:
    """Relative risk from the events alone: whose are they, if each arm fails equally often?

        p(r) = pi r / (pi r + 1 - pi)    the challenger's share of the events at ratio r

    Exact whatever the base rate does over time, and monotone in r. At most one event per unit;
    power falls with 1 - rate, so it is for incidences up to 0.2.

    Args:
        pi: assignment probability of the challenger among the eligible units, in (0, 1).

    Raises:
        InputError: pi outside (0, 1); counts not of shape (..., 2): (champion's, challenger's).

    References:
        Howard et al. (2021); Lindon & Malek (2022); Robbins (1970) for the mixture.

    >>> from evidence.sequences import Epoch, confidence
    >>> found = confidence([Epoch(EventShare(pi=0.5), [20, 60])], alpha=0.05)
    >>> round(found.lower, 2), round(found.upper, 2)
    (1.34, 7.8)
    """

    pi: float
    shape = (2,)
    effects = Interval(0.0, math.inf)
    monotone = True
    assumes = (SPLIT, "at most one event per unit")

    def __post_init__(self) -> None:
        open_unit("pi", self.pi)

    def log_wealth(self, cells: ArrayLike, effect: float, side: Side) -> Floats:
        odds = self.pi * effect / (1 - self.pi)
        return _tilted(counts("cells", cells, self.shape), odds / (1 + odds), side)

    def units(self, cells: ArrayLike) -> int:
        """Events, which are the units of this test."""
        return int(counts("cells", cells, self.shape).sum())

    def estimate(self, cells: ArrayLike) -> float | None:
        champion, challenger = map(int, counts("cells", cells, self.shape))
        if not champion:
            return math.inf if challenger else None
        return challenger / champion * (1 - self.pi) / self.pi


@dataclass(frozen=True)
class OneArmShare:
    """The share of bad units in one arm against a ceiling that does not move.

    Cells are (good, bad); the effect is the share of bad ones. Only for ceilings that hold in
    themselves ("predictions change on at most 5 % of requests"): against a frozen rate of the
    champion it cries harm as soon as the whole traffic changes.

    >>> from evidence.sequences import Epoch, evidence
    >>> evidence([Epoch(OneArmShare(), [970, 30])], 0.05, Side.BELOW, alpha=0.05).rejects
    True
    """

    shape = (2,)
    effects = Interval(0.0, 1.0)
    monotone = True
    assumes = (SAME,)

    def log_wealth(self, cells: ArrayLike, effect: float, side: Side) -> Floats:
        return _tilted(counts("cells", cells, self.shape), effect, side)

    def units(self, cells: ArrayLike) -> int:
        return int(counts("cells", cells, self.shape).sum())

    def estimate(self, cells: ArrayLike) -> float | None:
        good, bad = map(int, counts("cells", cells, self.shape))
        return bad / (good + bad) if good + bad else None


def _tilted(cells: Ints, p0: float, side: Side) -> Floats:
    """Log likelihood ratios of every odds ratio e^u against p0, shape (..., 29)."""
    tilts = TILTS if side is Side.ABOVE else -TILTS
    k, n = cells[..., 1], cells.sum(axis=-1)
    wealth: Floats = np.multiply.outer(k, tilts) - np.multiply.outer(
        n, np.log1p(p0 * np.expm1(tilts))
    )
    return wealth
