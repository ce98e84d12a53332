"""S11: how long until a verdict, what can be seen by now, and when to give up.

Everything is about one distance, from where the truth probably lies to the margin, and one
standard deviation per unit.
"""

import math
from dataclasses import dataclass

from scipy.special import ndtri

from evidence.domain import InputError, finite, open_unit, positive, share
from evidence.results import Interval, Side

NINETY = 2.0  # the 90 % point over the planned units, as simulated
OVERHEAD = 1.2  # the heavy-tailed grid's price: plan the bets for this many times the units


@dataclass(frozen=True)
class Forecast:
    """Units until the verdict: about the `median`, and in nine of ten runs at most `ninety`.

    `labels` are those of the median, `days` those of both. `n_star` is what to plan the bets for.
    """

    median: int
    ninety: int
    n_star: int
    labels: int
    days: tuple[float, float]


def forecast(
    distance: float,
    sd: float,
    *,
    units_per_day: float,
    alpha: float = 0.05,
    labels_per_unit: float = 0.0,
) -> Forecast:
    """How long a verdict takes when the effect lies `distance` from the margin.

        n = 2 sd^2 / distance^2 (ln(1/alpha) + 1/2 ln(1 + n rho^2)),    rho tuned for n itself

    The simulated median lies between 0.8 and 1.1 of n, the 90 % point near 2 n.

    Args:
        distance: |expected effect - margin|, in units of the effect.
        sd: standard deviation of one unit's outcome (`sd_assigned`, `sd_paired`).
        units_per_day: eligible units, or pairs, a day.
        alpha: level of the verdict (alpha / G for harm).
        labels_per_unit: share of the units that somebody labels (`labels_per_pair`).

    Raises:
        InputError: a distance, sd or rate that is not above 0, alpha outside (0, 1).

    References:
        Howard et al. (2021), Annals 49(2), section 3.5 (tuning a mixture for one n).

    Example: discordance 4 %, true gain 1 point, tested against 0.

    >>> found = forecast(0.01, sd_paired(0.04, 0.01), units_per_day=1_000)
    >>> found.median, found.ninety, found.days
    (3265, 6529, (3.3, 6.5))
    """
    n = 2 * (positive("sd", sd) / positive("distance", distance)) ** 2 * _nats(alpha)
    rate = positive("units_per_day", units_per_day)
    if not 0 <= labels_per_unit <= 1:
        raise InputError("labels_per_unit", labels_per_unit, "must lie between 0 and 1")
    return Forecast(
        median=math.ceil(n),
        ninety=math.ceil(NINETY * n),
        n_star=math.ceil(OVERHEAD * n),
        labels=math.ceil(labels_per_unit * n),
        days=(round(n / rate, 1), round(NINETY * n / rate, 1)),
    )


def fixed_horizon(distance: float, sd: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Units of a one-sided test with one look: the price of looking only once.

        n = (z_{1-alpha} + z_{power})^2 sd^2 / distance^2

    Raises:
        InputError: as `forecast`, or a power outside (0, 1).

    >>> fixed_horizon(0.05, sd_assigned(0.5, pi=0.5))
    2474
    """
    z = float(ndtri(1 - open_unit("alpha", alpha)) + ndtri(open_unit("power", power)))
    return math.ceil((z * positive("sd", sd) / positive("distance", distance)) ** 2)


def detectable(n: int, sd: float, *, alpha: float = 0.05) -> float:
    """The distance from the margin that `n` units decide about half the time: now, or by then.

        distance = sd sqrt(2 (ln(1/alpha) + 1/2 ln(1 + n rho^2)) / n)

    Raises:
        InputError: n or sd not above 0, alpha outside (0, 1).

    >>> round(detectable(10_000, sd_paired(0.04, 0.0)), 4)
    0.0057
    """
    return positive("sd", sd) * math.sqrt(2 * _nats(alpha) / positive("n", n))


def futile(interval: Interval, wanted: float, *, better: Side) -> bool:
    """Whether the evidence excludes the effect that somebody hoped for.

    Args:
        interval: the confidence sequence now.
        wanted: least effect worth having.
        better: the side of `wanted` on which an effect is welcome.

    >>> futile(Interval(-0.01, 0.004), 0.01, better=Side.ABOVE)
    True
    """
    finite("wanted", wanted)
    return interval.upper < wanted if better is Side.ABOVE else interval.lower > wanted


def sd_assigned(sd: float, *, pi: float) -> float:
    """Per-unit spread of an assigned difference: sd / sqrt(pi (1 - pi)).

    >>> sd_assigned(0.5, pi=0.5)
    1.0
    """
    return positive("sd", sd) / math.sqrt(open_unit("pi", pi) * (1 - pi))


def sd_paired(discordance: float, difference: float) -> float:
    """Per-pair spread: sqrt(discordance - difference^2), both as shares of all pairs.

    Raises:
        InputError: discordance outside (0, 1], or a difference beyond it.

    >>> round(sd_paired(0.04, 0.01), 4)
    0.1997
    """
    if abs(difference) > share("discordance", discordance):
        raise InputError("difference", difference, "must be within the discordance")
    return math.sqrt(positive("discordance", discordance - difference**2))


def labels_per_pair(disagree: float, *, agreements: float = 0.0) -> float:
    """Labels a pair costs: every disagreement is looked at, agreements with probability q.

        disagree + (1 - disagree) agreements

    >>> round(labels_per_pair(0.06, agreements=0.02), 4)
    0.0788
    """
    share("disagree", disagree)
    if not 0 <= agreements <= 1:
        raise InputError("agreements", agreements, "must lie between 0 and 1")
    return disagree + (1 - disagree) * agreements


def _nats(alpha: float) -> float:
    """ln(1/alpha) + 1/2 ln(1 + n rho^2) where rho is tuned for n itself."""
    log = -2 * math.log(open_unit("alpha", alpha))
    return (log + math.log1p(log + math.log1p(log))) / 2
