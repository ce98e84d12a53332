"""S12: fixed-sample companions, for small tables beside the sequences.

Each holds for one look at a time fixed beforehand and is labelled "single look". The interval
holds the effects that the test does not reject; with a `side` both are one-sided, without both are
two-sided. Effects are challenger minus champion.
"""

import math
import operator
from collections.abc import Callable
from typing import Literal

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtr, stdtrit
from scipy.stats import binomtest

from evidence.domain import InputError, finite, open_unit
from evidence.moments import Moments
from evidence.results import Interval, Side, SingleLook

Counted = tuple[int, int]  # (successes, n) of one arm

_HALVINGS = 60  # of an interval within [0, 1]: beyond the last bit of what is divided by it
_BESIDE = 1e-9  # how close to the estimate the search for an end begins
_INDEPENDENT = ("units are independent and alike",)


def wilson(successes: int, n: int, *, alpha: float) -> SingleLook:
    """One proportion, with Wilson's score interval.

        {p: |p^ - p| <= z sqrt(p (1 - p) / n)},   z = Phi^-1(1 - alpha/2)

    Never outside [0, 1] and of positive width at 0 of n and n of n; single look.

    Args:
        successes: how many of the units, 0 to n.
        n: units, at least 1.
        alpha: level of the interval, in (0, 1).

    Raises:
        InputError: counts that are no integers or out of range, n = 0, alpha outside (0, 1).

    References:
        Wilson (1927), JASA 22; Newcombe (1998a), Statistics in Medicine 17, method 3.

    >>> found = wilson(81, 263, alpha=0.05)
    >>> round(found.interval.lower, 4), round(found.interval.upper, 4)
    (0.2553, 0.3662)
    """
    successes, n = _counted("successes", (successes, n))
    z2 = float(ndtri(_tail(alpha, None))) ** 2
    p = successes / n
    middle = (successes + z2 / 2) / (n + z2)
    reach = math.sqrt(z2) * math.sqrt(n * p * (1 - p) + z2 / 4) / (n + z2)
    ends = Interval(
        middle - reach if successes else 0.0,
        middle + reach if successes < n else 1.0,
    )
    return SingleLook(n=n, estimate=p, interval=ends, alpha=alpha, assumes=_INDEPENDENT)


def newcombe(champion: Counted, challenger: Counted, *, alpha: float) -> SingleLook:
    """Difference of two proportions, with Newcombe's hybrid score interval.

        lower = d - sqrt((p_B - l_B)^2 + (u_A - p_A)^2),   upper = d + sqrt((u_B - p_B)^2 + ...)

    where l and u are Wilson's ends of each arm. Closed form, never outside [-1, 1]; single look.

    Arms are (successes, n); errors as `wilson`.

    References:
        Newcombe (1998b), Statistics in Medicine 17, 873-890, method 10.

    >>> found = newcombe((48, 80), (56, 70), alpha=0.05)
    >>> round(found.interval.lower, 4), round(found.interval.upper, 4)
    (0.0524, 0.3339)
    """
    (k_a, n_a), (k_b, n_b) = _counted("champion", champion), _counted("challenger", challenger)
    a, b = wilson(k_a, n_a, alpha=alpha), wilson(k_b, n_b, alpha=alpha)
    gap = b.estimate - a.estimate
    below = math.hypot(b.estimate - b.interval.lower, a.interval.upper - a.estimate)
    above = math.hypot(b.interval.upper - b.estimate, a.estimate - a.interval.lower)
    ends = Interval(max(gap - below, -1.0), min(gap + above, 1.0))
    return SingleLook(n=n_a + n_b, estimate=gap, interval=ends, alpha=alpha, assumes=_INDEPENDENT)


def miettinen_nurminen(
    champion: Counted,
    challenger: Counted,
    *,
    effect: float = 0.0,
    side: Side | None = None,
    alpha: float,
) -> SingleLook:
    """Difference of two proportions, with the score test of any difference and its interval.

        z(d) = (p^_B - p^_A - d) / sqrt(N/(N-1) [p_A (1 - p_A) / n_A + p_B (1 - p_B) / n_B])

    where p_A, p_B = p_A + d are the most likely proportions that differ by d. Non-inferiority of a
    rate that should be high: `effect = -margin, side = ABOVE`. Without N/(N-1) it is the test of
    Farrington & Manning. Single look.

    Args:
        champion: (successes, n) of arm A, n at least 1.
        challenger: (successes, n) of arm B.
        effect: the tested difference, strictly between -1 and 1.
        side: the direction that is tested for; `None` against "exactly `effect`".
        alpha: level of test and interval, in (0, 1).

    Raises:
        InputError: as `wilson`, or `effect` out of range.

    References:
        Miettinen & Nurminen (1985), Statistics in Medicine 4; Farrington & Manning (1990), same
        journal 9; Newcombe (1998b), method 6.

    >>> found = miettinen_nurminen((48, 80), (56, 70), alpha=0.05)
    >>> round(found.interval.lower, 4), round(found.interval.upper, 4), round(found.p_value, 4)
    (0.0528, 0.3382, 0.0083)
    >>> same = miettinen_nurminen((48, 80), (48, 80), effect=-0.2, side=Side.ABOVE, alpha=0.05)
    >>> round(same.p_value, 4), same.interval.lower > -0.2
    (0.0044, True)
    """
    a, b = _counted("champion", champion), _counted("challenger", challenger)
    if not -1 < effect < 1:
        raise InputError("effect", effect, "must lie strictly between -1 and 1")
    gap, z = b[0] / b[1] - a[0] / a[1], float(ndtri(_tail(alpha, side)))

    def excess(d: float) -> float:
        return (gap - d) ** 2 - z * z * _variance(a, b, d)

    lower = -1.0 if side is Side.BELOW else _end(excess, gap, -1.0)
    upper = 1.0 if side is Side.ABOVE else _end(excess, gap, 1.0)
    se = math.sqrt(_variance(a, b, effect))
    return SingleLook(
        n=a[1] + b[1],
        estimate=gap,
        interval=Interval(lower, upper),
        alpha=alpha,
        p_value=_p_value(lambda at: float(ndtr(at)), gap - effect, se, side),
        assumes=_INDEPENDENT,
    )


def mcnemar(
    only_champion: int, only_challenger: int, *, side: Side | None = None, alpha: float
) -> SingleLook:
    """Two versions on the same requests: whose are the requests that only one got right?

        only_challenger ~ Binomial(only_champion + only_challenger, 1/2) if both are equally good

    The estimate is the challenger's share of those requests, with the exact interval of Clopper &
    Pearson; the p-value is the exact binomial one against 1/2. Single look.

    Args:
        only_champion: requests that only the champion got right.
        only_challenger: requests that only the challenger got right; together at least 1.
        side: the direction that is tested for; `None` against "equally good".
        alpha: level of the interval, in (0, 1).

    Raises:
        InputError: counts that are negative or no integers, none at all, alpha out of range.

    References:
        McNemar (1947), Psychometrika 12; Clopper & Pearson (1934), Biometrika 26.

    >>> found = mcnemar(2, 10, alpha=0.05)
    >>> round(found.p_value, 4), round(found.interval.lower, 3), round(found.interval.upper, 3)
    (0.0386, 0.516, 0.979)
    """
    won, lost = _count("only_challenger", only_challenger), _count("only_champion", only_champion)
    _tail(alpha, side)
    if not won + lost:
        raise InputError("only_challenger", 0, "must not be 0 in both arms")
    kind: Literal["greater", "less"] = "greater" if side is Side.ABOVE else "less"
    found = binomtest(won, won + lost, alternative="two-sided" if side is None else kind)
    low, high = found.proportion_ci(confidence_level=1 - alpha)
    return SingleLook(
        n=won + lost,
        estimate=won / (won + lost),
        interval=Interval(float(low), float(high)),
        alpha=alpha,
        p_value=float(found.pvalue),
        assumes=("requests are independent and alike",),
    )


def welch(
    champion: Moments,
    challenger: Moments,
    *,
    effect: float = 0.0,
    side: Side | None = None,
    alpha: float,
) -> SingleLook:
    """Difference of means by Welch's t-test, from mergeable moments.

        t = (mean_B - mean_A - effect) / SE,   SE^2 = s_A^2 / n_A + s_B^2 / n_B
        df = SE^4 / ((s_A^2 / n_A)^2 / (n_A - 1) + (s_B^2 / n_B)^2 / (n_B - 1))

    Args:
        champion: moments of one value per unit, at least two units.
        challenger: the same of the other arm.
        effect: the tested difference, in units of the metric.
        side: the direction that is tested for; `None` against "exactly `effect`".
        alpha: level of test and interval, in (0, 1).

    Raises:
        InputError: an arm of fewer than two units or of other than one value per unit, no spread
            in either arm, `effect` not finite, alpha out of range.

    References:
        Welch (1947), Biometrika 34.

    >>> found = welch(Moments.of([1.0, 2.0, 3.0]), Moments.of([3.0, 5.0, 7.0]), alpha=0.05)
    >>> found.estimate, round(found.p_value, 4), round(found.interval.lower, 4)
    (3.0, 0.1045, -1.1554)
    """
    arms = (champion, challenger)
    for name, arm in zip(("champion", "challenger"), arms, strict=True):
        if arm.n < 2 or arm.mean.size != 1:
            shape = (arm.n, arm.mean.size)
            raise InputError(name, shape, "must be two or more units of one value")
    parts = [arm.project((1,)).variance.item() / arm.n for arm in arms]
    se = math.sqrt(sum(parts))
    if not se:
        raise InputError("champion", champion.mean.item(), "must vary, or the challenger must")
    shares = [part / sum(parts) for part in parts]
    df = 1 / sum(share**2 / (arm.n - 1) for share, arm in zip(shares, arms, strict=True))
    gap = challenger.mean.item() - champion.mean.item()
    reach = -se * float(stdtrit(df, _tail(alpha, side)))
    return SingleLook(
        n=champion.n + challenger.n,
        estimate=gap,
        interval=Interval(
            -math.inf if side is Side.BELOW else gap - reach,
            math.inf if side is Side.ABOVE else gap + reach,
        ),
        alpha=alpha,
        p_value=_p_value(lambda at: float(stdtr(df, at)), gap - finite("effect", effect), se, side),
        assumes=(*_INDEPENDENT, "means are normal"),
    )


def _count(argument: str, given: int) -> int:
    try:
        found = operator.index(given)
    except TypeError:
        raise InputError(argument, given, "must be an integer") from None
    if found < 0:
        raise InputError(argument, found, "must not be negative")
    return found


def _counted(argument: str, given: Counted) -> Counted:
    successes, n = (_count(argument, each) for each in given)
    if not 0 < n >= successes:
        raise InputError(argument, (successes, n), "must be (successes, n) with successes <= n > 0")
    return successes, n


def _tail(alpha: float, side: Side | None) -> float:
    """The probability that is left beyond one end of the interval."""
    if side is None:
        return open_unit("alpha", alpha) / 2
    if not 0 < alpha < 0.5:
        raise InputError("alpha", alpha, "must lie strictly between 0 and 1/2 with a side")
    return alpha


def _p_value(cdf: Callable[[float], float], gap: float, se: float, side: Side | None) -> float:
    at = gap / se if se else 0.0  # a score has no spread only where it sees no gap either
    if side is None:
        return min(1.0, 2 * cdf(-abs(at)))
    return cdf(-at if side is Side.ABOVE else at)


def _variance(a: Counted, b: Counted, d: float) -> float:
    """Variance of the difference, with N/(N-1), at the most likely p and q = p + d.

    The likelihood is concave in p, so its slope changes sign once; times p (1-p) q (1-q) it is a
    cubic without poles. Halving sees only the sign, and never takes an end for a root.
    """
    (k_a, n_a), (k_b, n_b) = a, b
    low, high = max(0.0, -d), min(1.0, 1 - d)
    for _ in range(_HALVINGS):
        p = (low + high) / 2
        q = p + d
        slope = (k_a - n_a * p) * q * (1 - q) + (k_b - n_b * q) * p * (1 - p)
        low, high = (p, high) if slope > 0 else (low, p)
    p = (low + high) / 2
    q = min(max(p + d, 0.0), 1.0)
    return (p * (1 - p) / n_a + q * (1 - q) / n_b) * (n_a + n_b) / (n_a + n_b - 1)


def _end(excess: Callable[[float], float], gap: float, limit: float) -> float:
    """Where `excess` changes sign between the estimate and `limit`, or `limit` itself."""
    near = gap + _BESIDE * (limit - gap)
    if gap == limit or excess(near) >= 0:
        return near
    return float(brentq(excess, near, limit, xtol=1e-14))
