"""S5: raw means, ratios, lifts and CUPED - what nobody can bound - behind a gate.

The one place where floats are state, and the one claim that is asymptotic: prefer a cap and an
exact statistic wherever an owner accepts a cap. Each estimate is a linear combination of means, or
near one (the delta method); with the moments of that combination all four are one test.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from evidence.domain import InputError, positive
from evidence.moments import Moments
from evidence.normal import ASSUMES, NormalTest
from evidence.results import LOG_LIMIT, Evidence, Interval, NotYet

LEAST = 1_000  # units in the smaller arm, whatever the skewness
PER_SKEWNESS_SQUARED = 355  # units that the mean of skewed values needs to be near normal
CLEAR_OF_ZERO = 10  # standard errors of a mean that is divided by: its CV is at most 10 %

FROZEN = "the covariate was known before the epoch"


def difference(champion: Moments, challenger: Moments, question: NormalTest) -> Evidence | NotYet:
    """Difference of means, challenger minus champion.

        estimate = mean_B - mean_A,   SE^2 = s_A^2 / n_A + s_B^2 / n_B

    Asymptotic, under a look at any time, behind the gate: the smaller arm has at least
    max(1000, 355 skewness^2) units, at the worse skewness of the two arms. Arms must run side by
    side with one split throughout; pooled over a ramp any drift looks like an effect.

    Args:
        champion: moments of one value per unit, d = 1.
        challenger: the same of the other arm.
        question: the tested difference in units of the metric, frozen.

    Returns:
        `NotYet` while the gate is shut, or while all values of an arm are equal.

    Raises:
        InputError: an arm that holds units has other than one value per unit.

    References:
        Kohavi, Deng, Longbotham & Xu (2014), KDD (355 skewness^2).

    >>> from evidence.results import Side
    >>> arm, better = Moments.of([0.0, 1.0] * 1000), Moments.of([0.2, 1.2] * 1000)
    >>> found = difference(arm, better, NormalTest(effect=0.0, side=Side.ABOVE))
    >>> found.rejects, round(found.estimate, 3), round(found.interval.lower, 3)
    (True, 0.2, 0.151)
    >>> difference(arm, Moments(), NormalTest(effect=0.0)).why
    'the smaller arm has 0 of the 1000 units that a mean needs to be near normal'
    """
    arms = (champion, challenger)
    return _unready(arms) or _answer(
        [(arm.mean.item(), arm.project((1,))) for arm in arms], question
    )


def ratio_difference(
    champion: Moments, challenger: Moments, question: NormalTest
) -> Evidence | NotYet:
    """Difference of ratios sum Y / sum X, by the delta method; the unit is what was randomised.

        R = ybar / xbar per arm,   SE^2 = sum_arms var(Y - R X) / (n xbar^2)

    Guarantee and gate as `difference`, with the skewness of (Y - R X) / xbar. A ratio is near
    normal only where its denominator is clear of 0: xbar must lie at least 10 standard errors
    above 0 in both arms (Cochran: the bias of R is then at most 10 % of its standard error).

    Args:
        champion: moments of (Y, X) per unit, d = 2.
        challenger: the same of the other arm.
        question: the tested difference of ratios, frozen.

    Returns:
        `NotYet` as `difference`, and while a denominator is not clear of 0.

    Raises:
        InputError: an arm that holds units has other than two values per unit.

    References:
        Cochran (1977), Sampling Techniques, 6.8; Deng, Knoblich & Lu (2018), KDD.

    >>> arm = Moments.of([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]] * 500)
    >>> found = ratio_difference(arm, arm, NormalTest(effect=0.0))
    >>> found.estimate, round(found.interval.upper, 4)
    (0.0, 0.0126)
    """
    arms = (champion, challenger)
    return _unready(arms, width=2, divisor=1) or _answer([_ratio(arm) for arm in arms], question)


def ratio_of_means(
    champion: Moments, challenger: Moments, question: NormalTest
) -> Evidence | NotYet:
    """Ratio of means mean_B / mean_A on the log scale: 1.1 is +10 %, and nothing is below -100 %.

        ln ratio = ln mean_B - ln mean_A,   SE^2 = sum_arms s^2 / (n mean^2)

    Guarantee and gate as `difference`; both means must lie 10 standard errors above 0, as in
    `ratio_difference`. An additive interval of the lift may reach below -100 %, and under skew it
    errs more often.

    Args:
        champion: moments of one value per unit, d = 1.
        challenger: the same of the other arm.
        question: the tested ratio, above 0, frozen.

    Returns:
        `NotYet` as `difference`, and while a mean is not clear of 0.

    Raises:
        InputError: the tested ratio is not above 0; an arm has other than one value per unit.

    >>> from evidence.results import Side
    >>> arm, better = Moments.of([0.0, 1.0] * 1000), Moments.of([0.2, 1.2] * 1000)
    >>> found = ratio_of_means(arm, better, NormalTest(effect=1.1, side=Side.ABOVE))
    >>> found.rejects, round(found.estimate, 3), round(found.interval.lower, 3)
    (True, 1.4, 1.285)
    """
    arms, log = (champion, challenger), math.log(positive("effect", question.effect))
    found = _unready(arms, divisor=0) or _answer(
        [(math.log(arm.mean.item()), arm.project((1 / arm.mean.item(),))) for arm in arms],
        replace(question, effect=log),
    )
    match found:
        case Evidence(estimate=float(middle), interval=Interval(low, high)):
            return replace(found, estimate=_exp(middle), interval=Interval(_exp(low), _exp(high)))
    return found


def cuped_difference(
    champion: Moments, challenger: Moments, question: NormalTest
) -> Evidence | NotYet:
    """Difference of means after what a covariate from before explains is taken away (CUPED).

        Y' = Y - theta X,   theta = cov(Y, X) / var(X) pooled within the arms;  then `difference`

    The interval narrows by sqrt(1 - R^2). Guarantee and gate as `difference`, with the skewness of
    Y'. A covariate that does not vary explains nothing (theta = 0).

    Args:
        champion: moments of (post, pre) per unit, d = 2; pre known before the epoch.
        challenger: the same of the other arm.
        question: the tested difference in units of post, frozen.

    Returns:
        `NotYet` as `difference`.

    Raises:
        InputError: an arm that holds units has other than two values per unit.

    References:
        Deng, Xu, Kohavi & Walker (2013), WSDM.

    >>> arm = Moments.of([[0.1, 0.0], [0.9, 1.0], [1.9, 2.0], [3.1, 3.0]] * 500)
    >>> better = Moments.of([[0.15, 0.0], [0.95, 1.0], [1.95, 2.0], [3.15, 3.0]] * 500)
    >>> found = cuped_difference(arm, better, NormalTest(effect=0.0))
    >>> found.rejects, round(found.estimate, 3), round(found.interval.lower, 3)
    (True, 0.05, 0.039)
    """
    arms = (champion, challenger)
    if unready := _unready(arms, width=2):
        return unready
    shared = sum(float(arm.m2[0, 1]) for arm in arms)
    spread = sum(arm.project((0, 1)).m2.item() for arm in arms)
    adjusted = [arm.project((1, -shared / spread if spread else 0)) for arm in arms]
    found = _answer([(arm.mean.item(), arm) for arm in adjusted], question)
    return found if isinstance(found, NotYet) else replace(found, assumes=(*ASSUMES, FROZEN))


def _ratio(arm: Moments) -> tuple[float, Moments]:
    y, x = map(float, arm.mean)
    return y / x, arm.project((1 / x, -y / x / x))


def _exp(log: float) -> float:
    return math.inf if log > LOG_LIMIT else math.exp(log)


def _unready(
    arms: tuple[Moments, Moments], *, width: int = 1, divisor: int | None = None
) -> NotYet | None:
    """What keeps the estimate from being formed: too few units, or a divisor too near 0."""
    for name, arm in zip(("champion", "challenger"), arms, strict=True):
        if arm.n and arm.mean.size != width:
            raise InputError(name, arm.mean.size, f"must hold {width} value(s) per unit")
    have = min(arm.n for arm in arms)
    if have < LEAST:
        need = f"the {LEAST} units that a mean needs to be near normal"
        return NotYet(have, LEAST, f"the smaller arm has {have} of {need}")
    if divisor is None:
        return None
    clear, n = min((_clearance(arm, divisor), arm.n) for arm in arms)
    if clear >= CLEAR_OF_ZERO:
        return None
    why = f"a divisor lies {clear:.1f} of the needed {CLEAR_OF_ZERO} standard errors above 0"
    return NotYet(n, math.ceil(n * (CLEAR_OF_ZERO / max(clear, 1e-3)) ** 2), why)


def _clearance(arm: Moments, coordinate: int) -> float:
    """How many standard errors a mean lies above 0."""
    alone = arm.project([float(i == coordinate) for i in range(arm.mean.size)])
    mean, se = alone.mean.item(), math.sqrt(alone.variance.item() / alone.n)
    return mean / se if se else math.copysign(math.inf, mean) if mean else 0.0


def _answer(linear: Sequence[tuple[float, Moments]], question: NormalTest) -> Evidence | NotYet:
    """Evidence about the gap of two arms, each an estimate and the moments of its linear form."""
    (champion, first), (challenger, second) = linear
    forms = (first, second)
    n, have = first.n + second.n, min(first.n, second.n)
    variances = [form.variance.item() for form in forms]
    if not all(variances):
        return NotYet(have, have + 1, "all values of an arm are equal: its spread is not known yet")
    skewness = max((form.skewness.item() for form in forms), key=abs)
    need = math.ceil(PER_SKEWNESS_SQUARED * skewness**2)
    if have < need:
        why = f"at skewness {skewness:.1f} each arm needs {need} units to be near normal"
        return NotYet(have, need, why)
    se = math.sqrt(sum(v / form.n for v, form in zip(variances, forms, strict=True)))
    return question.evidence(n, float(challenger - champion), se)
