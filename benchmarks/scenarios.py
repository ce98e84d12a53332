"""Traffic to test tests on: what comes, in which order, and how it is counted.

A scenario is a frozen value. It draws one history from a generator and counts it into the cells of
the product's statistic; effects are ratios to the champion, 1 for an identical version. Where a
statistic wants a centre or a spread it gets the true one, which a day of traffic gives as well.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from benchmarks.metrics import ErrorRate, Metric, Rng
from benchmarks.simulation import Bools, cumulative, looks
from evidence import audited, paired
from evidence.audited import Audit, AuditedMean
from evidence.bets import DEFAULT_PLAN, BoundedMean, Plan
from evidence.domain import Floats, Ints
from evidence.effects import Arms
from evidence.moments import Moments
from evidence.paired import Pair, Pairs
from evidence.ramps import enrolment


class Units(NamedTuple):
    """Units in the order in which they come: whether each has the challenger, and its outcome."""

    challenger: Bools
    outcome: Floats


@dataclass(frozen=True)
class Traffic:
    """Each unit falls to the challenger with probability `pi`, and counts once."""

    metric: Metric
    pi: float
    n: int
    effect: float = 1.0

    def units(self, rng: Rng) -> Units:
        challenger = rng.random(self.n) < self.pi
        return Units(challenger, self.metric.draw(rng, np.where(challenger, self.effect, 1.0)))

    def counts(self, rng: Rng, units: Units, at: Ints) -> Ints:
        """Shape (looks, 2, levels)."""
        levels = len(self.metric.levels)
        cells = units.challenger * levels + self.metric.index(rng, units.outcome)
        return cumulative(cells, (2, levels), at)

    def arms(self, plan: Plan = DEFAULT_PLAN) -> Arms:
        metric = self.metric
        return Arms(
            levels=metric.levels, pi=self.pi, centre=metric.mean(), sd=metric.sd(), plan=plan
        )


def moments(units: Units, at: Ints) -> Iterator[tuple[Moments, Moments]]:
    """What an asymptotic test knows of champion and challenger at each look, block by block."""
    champion = challenger = Moments()
    for start, end in pairwise([0, *at.tolist()]):
        lane, outcome = units.challenger[start:end], units.outcome[start:end]
        champion += Moments.of(outcome[~lane])
        challenger += Moments.of(outcome[lane])
        yield champion, challenger


@dataclass(frozen=True)
class Ramp:
    """A challenger's share grows step by step while the base rate of errors moves.

    Units are new users with a place in [0, 1) for ever; those below the share are the challenger's.
    """

    shares: tuple[float, ...] = (0.01, 0.05, 0.25, 0.50)
    n: int = 20_000
    metric = ErrorRate(0.10, end=0.05)
    effect: float = 1.0

    def units(self, rng: Rng) -> tuple[Units, Ints, Bools]:
        """All units, the step of each, and whether it may be compared."""
        step = np.arange(self.n) * len(self.shares) // self.n
        place, share = rng.random(self.n), np.array(self.shares)
        challenger = place < share[step]
        outcome = self.metric.draw(rng, np.where(challenger, self.effect, 1.0))
        return Units(challenger, outcome), step, place >= np.append(0.0, share)[step]

    def arms(self) -> list[Arms]:
        """What is frozen for each step; its probability comes from who is eligible."""
        steps = [(s,) for s in self.shares]
        pis = [enrolment(steps[:e], now, 0).pi for e, now in enumerate(steps)]
        centre, sd = self.metric.mean(), self.metric.sd()
        return [Arms(pi=pi, centre=centre, sd=sd) for pi in pis if pi is not None]

    def counts(self, rng: Rng, stride: int = 20) -> tuple[Units, list[Ints], list[Ints]]:
        """All units; the looks of each step, in units that had come; the counts compared there."""
        units, step, eligible = self.units(rng)
        cells = units.challenger * 2 + units.outcome.astype(np.int64)
        came, counts = [], []
        for now in range(len(self.shares)):
            compared = np.flatnonzero(eligible & (step == now))
            at = looks(len(compared), stride)
            came.append(compared[at - 1] + 1)
            counts.append(cumulative(cells[compared], (2, 2), at))
        return units, came, counts


@dataclass(frozen=True)
class Sticky:
    """Users who keep their version and send `events` each, some of them wrong far more often."""

    users: int = 1_000
    events: int = 20
    pi: float = 0.5
    effect: float = 1.0
    base = 0.05  # of the champion's events

    def draw(self, rng: Rng) -> tuple[Bools, Ints, Ints]:
        """(version of each user, user of each event as they come, whether the event went wrong)."""
        challenger = rng.random(self.users) < self.pi
        risk = self.base * 10 * rng.beta(0.25, 2.25, self.users)  # up to a half: effects have room
        risk *= np.where(challenger, self.effect, 1.0)
        user = rng.permutation(np.repeat(np.arange(self.users), self.events))
        return challenger, user, (rng.random(len(user)) < risk[user]) * 1

    def user_arms(self) -> Arms:
        """One value a user: the share of the events that went wrong."""
        levels = tuple((np.arange(self.events + 1) / self.events).tolist())
        return Arms(levels=levels, pi=self.pi, centre=self.base, sd=0.1)

    def event_arms(self) -> Arms:
        """One value an event, as if each had been assigned for itself."""
        return Arms(pi=self.pi, centre=self.base, sd=math.sqrt(self.base * (1 - self.base)))


@dataclass(frozen=True)
class Shadow:
    """Pairs: `discordance` is how often just one is wrong, the challenger `worse` more often."""

    discordance: float
    worse: float = 0.0
    both_wrong: float = 0.02
    n: int = 20_000

    @property
    def ratio(self) -> float:
        """Error rate of the challenger over the champion's."""
        one = self.discordance / 2 + self.both_wrong
        return (one + self.worse / 2) / (one - self.worse / 2)

    def counts(self, rng: Rng, at: Ints) -> Ints:
        """Shape (looks, 1, 5): every pair is labelled."""
        up, down = ((self.discordance + sign * self.worse) / 2 for sign in (1, -1))
        upto = np.cumsum([up, down, self.both_wrong])  # in the order of `Pair`; the rest is EQUAL
        drawn = np.searchsorted(upto, rng.random(self.n), side="right")
        return cumulative(drawn, (1, len(Pair)), at)

    def pairs(self, plan: Plan = DEFAULT_PLAN) -> Pairs:
        return Pairs(sigma0=paired.spread([self.discordance], [1.0]), plan=plan)


@dataclass(frozen=True)
class Audits:
    """Units of different risk, audited with probabilities of their own.

    Args:
        ladder: inclusion probability of each stratum.
        share: of the units in each stratum.
        risk: mean loss in each.
    """

    ladder: tuple[float, ...]
    share: tuple[float, ...]
    risk: tuple[float, ...]
    n: int = 20_000

    @property
    def loss(self) -> float:
        return float(np.dot(self.share, self.risk))

    def statistic(self) -> AuditedMean:
        sigma0 = audited.spread(
            self.ladder, (0.0,), share=_column(self.share), risk=_column(self.risk)
        )
        return AuditedMean(ladder=self.ladder, sigma0=sigma0)

    def draw(self, rng: Rng) -> tuple[Ints, Ints]:
        """(stratum, what became of it) of each unit."""
        stratum = rng.choice(len(self.share), self.n, p=self.share)
        sampled = rng.random(self.n) < np.array(self.ladder)[stratum]
        wrong = rng.random(self.n) < np.array(self.risk)[stratum]
        return stratum, np.where(sampled, np.where(wrong, Audit.WRONG, Audit.RIGHT), Audit.NONE)

    def counts(self, drawn: tuple[Ints, Ints], at: Ints) -> Ints:
        """Shape (looks, strata, 1, 4)."""
        stratum, became = drawn
        return cumulative(stratum * len(Audit) + became, self.statistic().shape, at)


def _column(values: Sequence[float]) -> list[list[float]]:
    return [[each] for each in values]


UNIFORM = Audits(ladder=(0.05,), share=(1.0,), risk=(0.05,))
RISK_WEIGHTED = Audits(
    ladder=(0.5, 0.2, 0.05, 0.01), share=(0.02, 0.08, 0.2, 0.7), risk=(0.6, 0.25, 0.05, 0.01)
)
FLOOR = Audits(ladder=(0.5, 0.02), share=(0.1, 0.9), risk=(0.3, 0.02))


@dataclass(frozen=True)
class Swing:
    """Steps of +-1 whose mean is -`by` in the first half and +`by` in the second.

    The average mean so far is never above 0, and 0 exactly at the end: no one-sided test of the
    average may reject more often than alpha.
    """

    by: float = 0.1
    n: int = 10_000

    def counts(self, rng: Rng, at: Ints) -> Ints:
        mean = np.where(np.arange(self.n) < self.n // 2, -self.by, self.by)
        return cumulative((rng.random(self.n) < (1 + mean) / 2) * 1, (2,), at)

    def statistic(self) -> BoundedMean:
        return BoundedMean((-1.0, 1.0), sigma0=1.0)
