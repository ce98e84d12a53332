"""Traffic to test tests on: what comes, in which order, and how it is counted.

A scenario is a frozen value. It draws one history from a generator and counts it into the cells of
the product's statistic; effects are ratios to the champion, 1 for an identical version. Where a
statistic wants a centre or a spread it gets the true one, which a day of traffic gives as well.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from scipy.stats import norm

from benchmarks.simulation import Bools, cumulative
from evidence import audited, paired
from evidence.audited import Audit, AuditedMean
from evidence.bets import DEFAULT_PLAN, BoundedMean, Plan
from evidence.buckets import Levels
from evidence.domain import Floats, Ints
from evidence.effects import Arms, Difference
from evidence.moments import Moments
from evidence.paired import Pair, Pairs
from evidence.ramps import enrolment

Rng = np.random.Generator


class Units(NamedTuple):
    """Units in the order in which they come: whether each has the challenger, and its outcome."""

    challenger: Bools
    outcome: Floats


class Metric(Protocol):
    """One outcome a unit, and what an owner knows of it beforehand."""

    @property
    def levels(self) -> tuple[float, ...]:
        """The outcomes that the product counts."""

    def draw(self, rng: Rng, effects: Floats) -> Floats:
        """The raw outcome of each unit, under an effect of its own."""

    def index(self, rng: Rng, outcomes: Floats) -> Ints:
        """The level at which each is counted."""

    def mean(self, effect: float = 1.0) -> float:
        """True mean of the counted outcome."""

    def sd(self) -> float:
        """Its true standard deviation in the champion."""


@dataclass(frozen=True)
class ErrorRate:
    """0 or 1; the rate may move in a line from `p` to `end` over the units."""

    p: float
    end: float | None = None
    levels = (0.0, 1.0)

    def draw(self, rng: Rng, effects: Floats) -> Floats:
        n = len(effects)
        rates = np.linspace(self.p, self.p if self.end is None else self.end, n)
        return (rng.random(n) < rates * effects).astype(float)

    def index(self, rng: Rng, outcomes: Floats) -> Ints:  # noqa: ARG002 - nothing to round
        return outcomes.astype(np.int64)

    def mean(self, effect: float = 1.0) -> float:
        return effect * (self.p if self.end is None else (self.p + self.end) / 2)

    def sd(self) -> float:
        return math.sqrt(self.mean() * (1 - self.mean()))


@dataclass(frozen=True)
class LogNormal:
    """A heavy tail: `share` of the units have exp(N(mu, 1)), the others 0; counted up to `cap`.

    An effect multiplies the share where not all units have a value, else the value.
    """

    share: float
    mu: float
    cap: float
    least: float

    @property
    def rounding(self) -> Levels:
        return Levels(cap=self.cap, least=self.least)

    @property
    def levels(self) -> tuple[float, ...]:
        return tuple(self.rounding.values.tolist())

    def draw(self, rng: Rng, effects: Floats) -> Floats:
        values = rng.lognormal(self.mu, 1.0, len(effects))
        if self.share == 1:
            return values * effects
        return values * (rng.random(len(effects)) < self.share * effects)

    def index(self, rng: Rng, outcomes: Floats) -> Ints:
        return self.rounding.rounded(outcomes, rng.random(len(outcomes)))

    def mean(self, effect: float = 1.0) -> float:
        if self.share == 1:
            return _capped(self.mu + math.log(effect), 1.0, self.cap)
        return self.share * effect * _capped(self.mu, 1.0, self.cap)

    def sd(self) -> float:
        square = self.share * _capped(2 * self.mu, 2.0, self.cap**2)
        return math.sqrt(square - self.mean() ** 2)


def _capped(mu: float, sigma: float, cap: float) -> float:
    """E min(X, cap) of a lognormal X."""
    z = (math.log(cap) - mu) / sigma
    body = math.exp(mu + sigma**2 / 2) * norm.cdf(z - sigma)
    return float(body + cap * norm.sf(z))


REVENUE = LogNormal(share=0.02, mu=1.0, cap=20.0, least=0.05)
LATENCY = LogNormal(share=1.0, mu=0.0, cap=30.0, least=0.05)


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
    metric: ErrorRate = ErrorRate(0.10, end=0.05)
    effect: float = 1.0

    def units(self, rng: Rng) -> tuple[Units, Ints, Bools]:
        """All units, the step of each, and whether it may be compared."""
        step = np.arange(self.n) * len(self.shares) // self.n
        place, share = rng.random(self.n), np.array(self.shares)
        challenger = place < share[step]
        outcome = self.metric.draw(rng, np.where(challenger, self.effect, 1.0))
        return Units(challenger, outcome), step, place >= np.append(0.0, share)[step]

    def epochs(self) -> list[Difference]:
        """One statistic a step, its probability from who is eligible."""
        steps = [(s,) for s in self.shares]
        pis = [enrolment(steps[:e], now, 0).pi for e, now in enumerate(steps)]
        centre, sd = self.metric.mean(), self.metric.sd()
        return [Difference(Arms(pi=pi, centre=centre, sd=sd)) for pi in pis if pi is not None]


@dataclass(frozen=True)
class Sticky:
    """Users who keep their version and send `events` each, some of them wrong far more often."""

    users: int = 1_000
    events: int = 20
    pi: float = 0.5

    def draw(self, rng: Rng) -> tuple[Bools, Ints, Ints]:
        """(version of each user, user of each event as they come, whether the event went wrong)."""
        risk = rng.beta(0.5, 4.5, self.users)  # mean 0.1, correlation within a user 1/6
        user = rng.permutation(np.repeat(np.arange(self.users), self.events))
        return rng.random(self.users) < self.pi, user, (rng.random(len(user)) < risk[user]) * 1


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
