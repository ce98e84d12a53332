"""What a statistic answers: small frozen values that say what they promise.

Evidence    holds under a look at any and every time (exact, or asymptotic behind a gate)
SingleLook  holds for one look at a time fixed beforehand
NotYet      the gate of an asymptotic method is not met: no number, and what is missing
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from evidence.domain import InputError

LOG_LIMIT = 700.0  # e-values beyond e^700 either way are written as e^700: a float64 holds no more


class Guarantee(StrEnum):
    """How far a statement reaches; the words that stand beside it on the screen."""

    EXACT = "exact, any time"
    GATED = "asymptotic, gated"
    SINGLE = "single look"


class Side(StrEnum):
    """The direction that evidence speaks for.

    `ABOVE` is evidence that the effect is above the tested value: it rejects H0 "effect <= m".
    `BELOW` is evidence that it is below: it rejects H0 "effect >= m".
    """

    ABOVE = "above"
    BELOW = "below"

    @property
    def other(self) -> "Side":
        return Side.BELOW if self is Side.ABOVE else Side.ABOVE


@dataclass(frozen=True, slots=True)
class Interval:
    """The values between `lower` and `upper`, ends included; an end may be infinite.

    >>> Interval(-0.1, 0.3).meet(Interval(0.0, 0.5))
    Interval(lower=0.0, upper=0.3)
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if math.isnan(self.lower) or math.isnan(self.upper) or self.lower > self.upper:
            raise InputError("interval", (self.lower, self.upper), "must run from low to high")

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper

    @property
    def width(self) -> float:
        return self.upper - self.lower

    def meet(self, other: "Interval") -> "Interval | None":
        """What both hold; `None` when nothing: the effect moved, which is news and not an error.

        The running intersection of a confidence sequence still covers with 1 - alpha as long as
        the effect stands still.
        """
        lower, upper = max(self.lower, other.lower), min(self.upper, other.upper)
        return Interval(lower, upper) if lower <= upper else None


EVERYTHING = Interval(-math.inf, math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the counts say, however often anybody looked before.

    P(the interval ever misses the effect) <= alpha, and P(log_e ever reaches ln(1/alpha)) <= alpha
    while the null holds. `log_e` is in nats and lies within +-700.

    >>> found = Evidence(n=100, estimate=0.2, interval=Interval(0.1, 0.3), log_e=3.2, alpha=0.05)
    >>> found.rejects, round(found.p_value, 3)
    (True, 0.041)
    """

    n: int
    estimate: float | None  # biased outward at a stopping time: show the interval
    interval: Interval | None  # None: no effect fits all that was seen
    log_e: float
    alpha: float
    guarantee: Guarantee = Guarantee.EXACT
    assumes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if math.isnan(self.log_e):
            raise InputError("log_e", self.log_e, "must be a number")
        object.__setattr__(self, "log_e", min(max(float(self.log_e), -LOG_LIMIT), LOG_LIMIT))

    @property
    def p_value(self) -> float:
        """min(1, 1/E) at this look; the anytime p-value is its least over all looks."""
        return min(1.0, math.exp(-self.log_e))

    @property
    def rejects(self) -> bool:
        """Whether E >= 1 / alpha now."""
        return self.log_e >= -math.log(self.alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleLook:
    """What a fixed-sample method says at one look; looking twice breaks its promise.

    `p_value` is two-sided unless the function says otherwise, `None` where it gives none.
    """

    n: int
    estimate: float
    interval: Interval
    alpha: float
    p_value: float | None = None
    assumes: tuple[str, ...] = field(default=())
    guarantee: Guarantee = field(default=Guarantee.SINGLE, init=False)


@dataclass(frozen=True, slots=True)
class NotYet:
    """The gate is not met: `have` of the `need`ed units; `why` is a sentence for the screen."""

    have: int
    need: int
    why: str
