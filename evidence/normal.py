"""Near-normal estimates under a look at any time: the asymptotic confidence sequence.

    v = n rho^2,   z = (estimate - effect) / SE,   x = z sqrt(v / (v + 1))
    two-sided      ln E = x^2/2 - ln(1 + v)/2                         rho tuned at alpha
    one-sided      ln E = x^2/2 - ln(1 + v)/2 + ln(2 Phi(x))          rho tuned at 2 alpha
    interval       the effects with E < 1 / alpha

Two-sided these are equations 155 and 9 of the source. One-sided the mixture is half a normal; the
source's equation 134 is its closed form after a bound on Phi, up to 2 % wider at alpha <= 5 %.

References:
    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Annals of Statistics 52; arXiv
    2103.06476v7. Robbins (1970), Ann. Math. Stat. 41 (both mixtures).
"""

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr

from evidence.bets import rho
from evidence.domain import InputError, finite, open_unit, positive
from evidence.results import Evidence, Guarantee, Interval, Side

ASSUMES = ("asymptotic: means are taken as normal", "units are independent and alike")


@dataclass(frozen=True, kw_only=True)
class NormalTest:
    """What is asked of two arms, frozen before the first unit.

    Args:
        effect: the tested effect, in units of the metric, or a ratio of means.
        side: the direction that the evidence speaks for; `None` against "exactly `effect`".
            The interval follows: one-sided with a side, two-sided without.
        alpha: level of the test and of the interval, in (0, 1); below 1/2 with a side.
        n_star: units of both arms at which evidence should be strongest; only speed hangs on it.

    Raises:
        InputError: a parameter outside its range.
    """

    effect: float
    side: Side | None = None
    alpha: float = 0.05
    n_star: float = 20_000

    def __post_init__(self) -> None:
        finite("effect", self.effect)
        open_unit("alpha", self.alpha)
        positive("n_star", self.n_star)
        if self.side is not None and self.alpha >= 0.5:
            raise InputError("alpha", self.alpha, "must be below 1/2 with a side")

    def evidence(self, n: int, estimate: float, se: float) -> Evidence:
        """The answer for a near-normal `estimate` of standard error `se`; the gate is the caller's.

        >>> found = NormalTest(effect=0.0).evidence(n=20_000, estimate=0.03, se=0.01)
        >>> found.rejects, round(found.interval.lower, 4), round(found.p_value, 3)
        (False, -0.0004, 0.055)
        """
        positive("n", n)
        positive("se", se)
        tuned = rho(self.alpha if self.side is None else 2 * self.alpha, self.n_star)
        v = n * tuned**2
        x = (estimate - self.effect) / se * math.sqrt(v / (v + 1))
        reach = se * self._critical(v) * math.sqrt((v + 1) / v)
        lower = -math.inf if self.side is Side.BELOW else estimate - reach
        upper = math.inf if self.side is Side.ABOVE else estimate + reach
        return Evidence(
            n=n,
            estimate=estimate,
            interval=Interval(lower, upper),
            log_e=self._log_e(x, v),
            alpha=self.alpha,
            guarantee=Guarantee.GATED,
            assumes=ASSUMES,
        )

    def _log_e(self, x: float, v: float) -> float:
        if self.side is None:
            return (x * x - math.log1p(v)) / 2
        x = x if self.side is Side.ABOVE else -x
        if x < 0:  # far out x^2/2 and ln Phi(x) cancel
            return math.log(erfcx(-x / math.sqrt(2))) - math.log1p(v) / 2
        return (x * x - math.log1p(v)) / 2 + math.log(2) + float(log_ndtr(x))

    def _critical(self, v: float) -> float:
        """The x at which E = 1 / alpha."""
        if self.side is None:
            return math.sqrt(math.log1p(v) - 2 * math.log(self.alpha))
        level = math.log1p(v) / 2 - math.log(2 * self.alpha)
        most = math.sqrt(2 * (level + math.log(2)))
        return float(brentq(lambda x: x * x / 2 + log_ndtr(x) - level, 0, most, xtol=1e-12))
