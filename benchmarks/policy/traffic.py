"""A spam filter's traffic: what either version would make of each request.

Every hour a batch of requests comes within half a minute. Both versions' outcomes are drawn for
each, from the same luck, so every policy that is compared sees the same requests. Rates and
latencies move with the hour of the day; what a version adds to them is exact at every hour.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from evidence.domain import Floats, Ints
from rollout.spec import Spec, read
from streams.models import Declaration, Slice, Term

Rng = np.random.Generator
Bools = np.ndarray[Any, np.dtype[np.bool_]]

HOUR_MS = 3_600_000
REQUESTS = 250  # an hour
SPAM, MISSED, ALARMED, ERRS, BUYS = 0.3, 0.2, 0.05, 0.04, 0.2
LATENCY_MS, SPREAD = 50.0, 0.5  # median and sigma of a lognormal
TAGS = {"region": 8, "device": 4, "tier": 4, "channel": 4}
PROTECTED = frozenset({"tier-0", "region-7"})

MODEL = Declaration(
    model="spam", task="classification", classes=("ham", "spam"), positive="spam",
    horizons={"outcome": "2h", "audit": "30m", "feedback:revenue": "10m"},
    slices=tuple(
        Slice(name=f"{tag}-{k}", where=(Term(tag=tag, equals=str(k)),),
              protected=f"{tag}-{k}" in PROTECTED)
        for tag, count in TAGS.items() for k in range(count)
    ),
)  # fmt: skip
GUARDRAILS = ("errors", "latency", "revenue", "misses", "false_alarms")
TEXT = f"""
apiVersion: penstock/v1
kind: ModelRollout
metadata: {{name: spam-42}}
spec:
  model: spam
  route: default
  champion: {{version: "41"}}
  challengers: [{{version: "42"}}]
  assignment: {{unit: request}}
  slices: [{", ".join(part.name for part in MODEL.slices)}]
  metrics:
    - {{name: errors, from: prediction, stat: rate, margin: {{relative: 0.5}}}}
    - {{name: latency, from: prediction, stat: p95, margin: {{relative: 0.1}}}}
    - {{name: revenue, from: feedback, stat: mean, cap: 50, better: higher,
       margin: {{relative: 0.1}}, exposure: 10m}}
    - {{name: misses, from: label, margin: {{absolute: 0.02}}, matures: 2h, missing: as-champion,
       observed: always}}
    - {{name: false_alarms, from: label, margin: {{relative: 0.5}}, matures: 2h,
       missing: as-champion, observed: always}}
  guardrails: [{", ".join(GUARDRAILS)}]
  judge: {{plannedUnits: 5000}}
  blindAfter: 3h
  stages:
    - canary: {{weights: [20, 50], dwell: 24h, require: guardrails, deadline: 30d}}
    - full: {{probation: 6h}}
""".encode()
SPEC: Spec = read(TEXT)[0].spec


@dataclass(frozen=True)
class Version:
    """What a challenger adds to the champion, from `begins` on (hours after the first).

    Args:
        errors, latency, revenue, false_alarms: ratios.
        misses: share of all requests, more than the champion's.
    """

    errors: float = 1.0
    latency: float = 1.0
    revenue: float = 1.0
    misses: float = 0.0
    false_alarms: float = 1.0
    begins: int = 0

    def at(self, hour: int) -> "Version":
        return self if hour >= self.begins else EQUAL


EQUAL = Version()
AT_MARGIN = Version(errors=1.5, latency=1.1, revenue=0.9, misses=0.02, false_alarms=1.5)
HARMFUL = Version(errors=4.0)
LATE = Version(errors=4.0, begins=30)


@dataclass(frozen=True)
class Rates:
    """Chances of one version in one hour: of an error; of missing spam, of alarming at ham."""

    errs: float
    missed: float
    alarmed: float

    @classmethod
    def of(cls, hour: int, version: Version) -> "Rates":
        """Shares of all requests are what margins are about; an error misses, and alarms nobody."""
        errs = ERRS * (1 + 0.5 * _wave(hour))
        misses = SPAM * (1 - (1 - errs) * (1 - MISSED)) + version.misses
        alarms = (1 - errs) * ALARMED * version.false_alarms
        worse = min(1.0, errs * version.errors)
        answered = max(1 - worse, 1e-9)
        return cls(worse, max(0.0, 1 - (1 - misses / SPAM) / answered), min(1.0, alarms / answered))


@dataclass(frozen=True)
class Outcomes:
    """What one version makes of each request; `spend` is 0 for who buys nothing."""

    error: Bools
    says_spam: Bools
    latency_ms: Floats
    spend: Floats


@dataclass(frozen=True)
class Hour:
    """A batch of requests, under the champion and under the challenger."""

    at_ms: Ints
    is_spam: Bools
    tags: list[dict[str, str]]
    outcomes: tuple[Outcomes, Outcomes]
    label_ms: Ints  # when the truth becomes known
    buys_ms: Ints


def hour(rng: Rng, no: int, start_ms: int, version: Version) -> Hour:
    """Everything that happens because of the requests of hour `no`."""
    n = REQUESTS
    at_ms = start_ms + np.sort(rng.integers(0, 30_000, n))
    luck = rng.random((4, n))
    is_spam = rng.random(n) < SPAM
    latency = np.exp(rng.normal(0.0, SPREAD, n)) * LATENCY_MS * (1 + 0.2 * _wave(no))
    spend = rng.lognormal(math.log(20), 0.8, n)
    drawn = {tag: rng.integers(0, count, n) for tag, count in TAGS.items()}

    def made(version: Version) -> Outcomes:
        rates = Rates.of(no, version)
        error = luck[0] < rates.errs
        says = np.where(is_spam, luck[1] >= rates.missed, luck[2] < rates.alarmed)
        bought = luck[3] < BUYS * version.revenue
        return Outcomes(error, says & ~error, latency * version.latency, spend * bought)

    return Hour(
        at_ms,
        is_spam,
        [{tag: str(values[k]) for tag, values in drawn.items()} for k in range(n)],
        (made(EQUAL), made(version.at(no))),
        at_ms + rng.integers(30 * 60_000, 110 * 60_000, n),
        at_ms + rng.integers(60_000, 500_000, n),
    )


def measured(hour: Hour, of: Outcomes, kept: Bools) -> dict[str, float]:
    """The point estimates of an interval that a controller without statistics asks for."""
    if not kept.any():
        return dict.fromkeys(GUARDRAILS, math.nan)
    wrong = of.says_spam != hour.is_spam
    return {
        "errors": float(of.error[kept].mean()),
        "latency": float(np.quantile(of.latency_ms[kept], 0.95)),
        "revenue": float(np.minimum(of.spend, 50)[kept].mean()),
        "misses": float((wrong & hour.is_spam)[kept].mean()),
        "false_alarms": float((wrong & ~hour.is_spam)[kept].mean()),
    }


def limits() -> dict[str, float]:
    """Fixed limits that say what the margins say: the champion's own value, and the margin."""
    mean = 20 * math.exp(0.32)  # of a lognormal, capped at 50
    far = (math.log(50) - math.log(20)) / 0.8
    capped = mean * float(norm.cdf(far - 0.8)) + 50 * float(norm.sf(far))
    return {
        "errors": 1.5 * ERRS,
        "latency": 1.1 * LATENCY_MS * math.exp(SPREAD * float(norm.ppf(0.95))),
        "revenue": 0.9 * BUYS * capped,
        "misses": SPAM * (1 - (1 - ERRS) * (1 - MISSED)) + 0.02,
        "false_alarms": 1.5 * (1 - SPAM) * (1 - ERRS) * ALARMED,
    }


def _wave(hour: int) -> float:
    return math.sin(2 * math.pi * hour / 24)
