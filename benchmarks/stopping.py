"""How long a test that anybody may read at any time takes, in units of n80.

n80 is the one-sided fixed-horizon size at 80 % power (`planning.fixed_horizon`) for the same
effect: what somebody needs who knows the effect beforehand and looks once. Every design is told
its true spread, and a planned size that may be wrong.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import norm

from benchmarks.metrics import ErrorRate, Rng
from benchmarks.scenarios import Shadow, Traffic
from benchmarks.simulation import cumulative, first, looks, says
from evidence.bets import Plan
from evidence.domain import Ints
from evidence.effects import Difference
from evidence.paired import PairedDifference
from evidence.planning import fixed_horizon, forecast, sd_assigned, sd_paired
from evidence.results import Side
from evidence.risks import EventShare
from evidence.sequences import Epoch

HORIZON = 8  # n80 after which a run counts as undecided


class Design(Protocol):
    """One effect that is there, and the test that is to find it."""

    @property
    def name(self) -> str: ...

    @property
    def n80(self) -> int: ...

    @property
    def score_n80(self) -> int:
        """The same for a test that takes its variance from the null."""

    def stops(self, rng: Rng, planned: float) -> int | None:
        """Units at the decision, with bets planned for `planned` times the right size."""


@dataclass(frozen=True)
class AssignedRates:
    """S4: two error rates under random assignment, tested against "no worse"."""

    champion: float
    challenger: float
    pi: float

    @property
    def name(self) -> str:
        return f"difference, {self.champion:g} to {self.challenger:g}, share {self.pi:g}"

    @property
    def sd(self) -> float:
        a, b = self.champion, self.challenger
        return math.sqrt(a * (1 - a) / (1 - self.pi) + b * (1 - b) / self.pi)

    @property
    def n80(self) -> int:
        return fixed_horizon(self.challenger - self.champion, self.sd)

    @property
    def score_n80(self) -> int:
        pooled = self.pi * self.challenger + (1 - self.pi) * self.champion
        null = sd_assigned(math.sqrt(pooled * (1 - pooled)), pi=self.pi)
        return _score(self.challenger - self.champion, null, self.sd)

    def stops(self, rng: Rng, planned: float) -> int | None:
        n, effect = HORIZON * self.n80, self.challenger / self.champion
        traffic = Traffic(ErrorRate(self.champion), self.pi, n, effect)
        plan = _plan(self.challenger - self.champion, self.sd, planned)
        at = _looks(self.n80)
        counts = traffic.counts(rng, traffic.units(rng), at)
        return first(says([Epoch(Difference(traffic.arms(plan)), counts)], 0.0, Side.ABOVE), at)


@dataclass(frozen=True)
class RareEvents:
    """S2 on the events alone, in events; it has no plan to be wrong about."""

    ratio: float
    pi: float

    @property
    def name(self) -> str:
        return f"event share, ratio {self.ratio:g}, share {self.pi:g}"

    @property
    def share(self) -> float:
        odds = self.pi * self.ratio / (1 - self.pi)
        return odds / (1 + odds)

    @property
    def n80(self) -> int:
        return fixed_horizon(self.share - self.pi, math.sqrt(self.share * (1 - self.share)))

    @property
    def score_n80(self) -> int:
        null, sd = (math.sqrt(p * (1 - p)) for p in (self.pi, self.share))
        return _score(self.share - self.pi, null, sd)

    def stops(self, rng: Rng, planned: float) -> int | None:  # noqa: ARG002 - as said above
        at = _looks(self.n80)
        counts = cumulative((rng.random(at[-1]) < self.share) * 1, (2,), at)
        return first(says([Epoch(EventShare(self.pi), counts)], 1.0, Side.ABOVE), at)


@dataclass(frozen=True)
class PairedLabels:
    """S3: a gain in pairs, tested against a margin: 0 for better, above 0 for not worse."""

    discordance: float
    gain: float
    margin: float = 0.0

    @property
    def name(self) -> str:
        what = f"not {self.margin:g} worse" if self.margin else f"better by {self.gain:g}"
        return f"pairs, {self.discordance:g} discordant, {what}"

    @property
    def n80(self) -> int:
        return fixed_horizon(self.gain + self.margin, sd_paired(self.discordance, self.gain))

    @property
    def score_n80(self) -> int:
        null, sd = (sd_paired(self.discordance, d) for d in (self.margin, self.gain))
        return _score(self.gain + self.margin, null, sd)

    def stops(self, rng: Rng, planned: float) -> int | None:
        shadow = Shadow(self.discordance, worse=-self.gain, n=HORIZON * self.n80)
        sd = sd_paired(self.discordance, self.gain)
        test = PairedDifference(shadow.pairs(_plan(self.gain + self.margin, sd, planned)))
        at = _looks(self.n80)
        counts = shadow.counts(rng, at)
        return first(says([Epoch(test, counts)], self.margin, Side.BELOW), at)


DESIGNS: tuple[Design, ...] = (
    AssignedRates(0.5, 0.55, 0.5),
    AssignedRates(0.05, 0.07, 0.5),
    AssignedRates(0.1, 0.13, 0.05),
    AssignedRates(0.02, 0.04, 0.05),
    AssignedRates(0.005, 0.01, 0.1),
    AssignedRates(0.01, 0.3, 0.1),
    PairedLabels(0.04, gain=0.01),
    PairedLabels(0.3, gain=0.05),
    PairedLabels(0.06, gain=0.0, margin=0.01),
)
RARE: tuple[RareEvents, ...] = (
    RareEvents(2.0, 0.5),
    RareEvents(2.0, 0.05),
    RareEvents(1.3, 0.05),
    RareEvents(2.0, 0.01),
)


@dataclass(frozen=True)
class Stopped:
    """When many runs stopped, in units of n80; infinite where a run had not within the horizon."""

    ratios: tuple[float, ...]

    @classmethod
    def of(cls, n80: int, found: Sequence[int | None]) -> "Stopped":
        return cls(tuple(math.inf if n is None else n / n80 for n in found))

    @property
    def median(self) -> float:
        return float(np.median(self.ratios))

    @property
    def ninety(self) -> float:
        return float(np.quantile(self.ratios, 0.9, method="higher"))

    def within(self, ratio: float) -> float:
        """Share of the runs that had stopped by then."""
        return float(np.mean(np.array(self.ratios) <= ratio))


def _plan(distance: float, sd: float, planned: float) -> Plan:
    return Plan(n_star=planned * forecast(distance, sd, units_per_day=1).n_star)


def _looks(n80: int) -> Ints:
    return looks(HORIZON * n80, max(1, n80 // 150))


def _score(distance: float, null: float, sd: float) -> int:
    """Fixed-horizon size at 80 % power of a test that takes `null` for the spread `sd`."""
    alpha, power = norm.ppf(0.95), norm.ppf(0.8)
    return math.ceil(((alpha * null + power * sd) / distance) ** 2)
