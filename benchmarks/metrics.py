"""Outcomes of one unit: what is drawn, at which levels it is counted, and its true moments.

Effects are ratios to the champion, 1 for an identical version.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import norm

from evidence.buckets import Levels
from evidence.domain import Floats, Ints

Rng = np.random.Generator


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
