"""S8 at one look: sharper than the exact sequence, and good for one look only.

    ppi          labels of a uniform sample, predictions of everything (PPI++)
    difference   audits under any known probabilities, helped by a predicted loss
    hajek        the same without predictions: the weighted share of wrong verdicts

Labels that somebody chose because they look wrong belong in none of them: no probability is known.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from evidence.domain import Floats, InputError, counts, open_unit
from evidence.moments import Moments
from evidence.results import Interval, NotYet, SingleLook

LEAST = 20  # labels, or verdicts of either kind, below which a normal interval does not hold

POISSON = "each unit is audited on its own, with its logged probability"
UNIFORM = "labelled and unlabelled units are drawn alike"
NORMAL = "the estimate is taken as normal"


@dataclass(frozen=True, eq=False, slots=True)
class Audits:
    """What a Poisson sample tells of all units; `a + b` is both together, `Audits()` is empty.

    With z = (1, e, h) of an audited unit, e = 1 if it is wrong, h the predicted loss, w = 1 / pi:

        totals = sum w z,   products = sum (1 - pi) w^2 z z'

    so a combination c'z has the estimated total c'totals, of variance c'products c.

    Args:
        units: N, audited or not.
        predicted: sum of h over all units.
        right: audits with e = 0.
        wrong: audits with e = 1.
        totals: shape (3,).
        products: shape (3, 3).

    Raises:
        InputError: a count that is none, a sum that is not finite or of another shape.

    >>> day = Audits.of(pi=[1.0, 0.5, 0.5], audited=[True, True, False], wrong=[1, 0, 0])
    >>> day.totals.tolist(), (day + day).wrong
    ([3.0, 1.0, 0.0], 2)
    """

    units: int = 0
    predicted: float = 0.0
    right: int = 0
    wrong: int = 0
    totals: Floats = field(default_factory=lambda: np.zeros(3))
    products: Floats = field(default_factory=lambda: np.zeros((3, 3)))

    def __post_init__(self) -> None:
        for name in ("units", "right", "wrong"):
            counts(name, getattr(self, name), ())
        for name, shape in (("predicted", ()), ("totals", (3,)), ("products", (3, 3))):
            given = np.asarray(getattr(self, name))
            if given.shape != shape or not np.isfinite(given).all():
                raise InputError(name, given.tolist(), f"must be finite, of shape {shape}")

    @classmethod
    def of(
        cls, *, pi: ArrayLike, audited: ArrayLike, wrong: ArrayLike, predicted: ArrayLike = 0.0
    ) -> "Audits":
        """Sums over all units, audited or not; every argument has the shape (N,) or is one value.

        Args:
            pi: inclusion probabilities, in (0, 1].
            audited: which units were audited.
            wrong: 0 or 1 where audited, the worst case if nobody resolved it; elsewhere not read.
            predicted: h, frozen before the audits, in [0, 1]; calibrate it on earlier audits.

        Raises:
            InputError: different lengths, a value outside its range, pi = 1 and not audited.
        """
        columns = [np.asarray(each, dtype=float) for each in (pi, audited, wrong, predicted)]
        shapes = {column.shape for column in columns if column.ndim}
        if len(shapes) > 1:
            raise InputError("audited", sorted(shapes), "must be as many as the other arguments")
        p, sampled, verdict, h = np.broadcast_arrays(*columns)
        _within("audited", sampled, (sampled == 0) | (sampled == 1), "must be true or false")
        seen = sampled == 1
        _within("pi", p, (p > 0) & (p <= 1), "must be above 0 and at most 1")
        _within("pi", p, seen | (p < 1), "must be below 1 where nobody audited")
        _within("predicted", h, (h >= 0) & (h <= 1), "must lie in [0, 1]")
        e, w = verdict[seen], 1 / p[seen]
        _within("wrong", e, (e == 0) | (e == 1), "must be 0 or 1 where audited")
        z = np.stack([np.ones_like(e), e, h[seen]])
        count = int(e.sum())
        return cls(
            units=p.size,
            predicted=float(h.sum()),
            right=len(e) - count,
            wrong=count,
            totals=z @ w,
            products=z * (w * (w - 1)) @ z.T,
        )

    def __add__(self, other: "Audits") -> "Audits":
        return Audits(
            self.units + other.units,
            self.predicted + other.predicted,
            self.right + other.right,
            self.wrong + other.wrong,
            self.totals + other.totals,
            self.products + other.products,
        )


def hajek(audits: Audits, *, alpha: float) -> SingleLook | NotYet:
    """Share of wrong units, weighted by the audits alone.

        R = sum w e / sum w,   variance = sum (1 - pi) w^2 (e - R)^2 / (sum w)^2

    Needs no count of the units, and bears a random size of the sample better than Horvitz and
    Thompson's. It wants a floor under pi: at 10 % wrong, 400 audits and pi in proportion to the
    risk its bias is 1.3 points. It speaks of the units at hand; `n` counts audits.

    Args:
        audits: sums over the sample.
        alpha: level of the two-sided interval.

    Returns:
        One look, or `NotYet` below 20 wrong or 20 right verdicts: use `AuditedMean` there.

    Raises:
        InputError: alpha outside (0, 1).

    References:
        Hajek (1971); Sarndal, Swensson & Wretman (1992), Model Assisted Survey Sampling,
        sections 3.5 (Poisson sampling) and 5.7 (the weighted sample mean).

    >>> audits = Audits.of(pi=0.5, audited=[True, False] * 100, wrong=[1, 0, 0, 0] * 50)
    >>> found = hajek(audits, alpha=0.05)
    >>> found.estimate, round(found.interval.lower, 3)
    (0.5, 0.431)
    """
    open_unit("alpha", alpha)
    missing = _missing(audits)
    if missing:
        return missing
    weight, wrong, _ = audits.totals
    ratio = float(wrong / weight)
    return _look(audits, ratio, np.array([-ratio, 1.0, 0.0]) / weight, alpha)


def difference(audits: Audits, *, alpha: float, weight: float | None = None) -> SingleLook | NotYet:
    """Share of wrong units: what the scorer predicts for all, corrected by the audits.

        estimate = sum_all l h / N + sum w (e - l h) / N
        variance = sum (1 - pi) w^2 (e - l h)^2 / N^2

    An uncalibrated scorer at l = 1 is worse than none, so by default l in [0, 1] is the one of the
    least estimated variance, sum (1-pi) w^2 e h / sum (1-pi) w^2 h^2, clipped. At l = 0 this is
    Horvitz and Thompson's estimator. Otherwise as `hajek`.

    Args:
        audits: sums over the sample.
        alpha: level of the two-sided interval.
        weight: l in [0, 1], if it is to be frozen.

    Raises:
        InputError: alpha outside (0, 1), a weight outside [0, 1].

    References:
        Sarndal, Swensson & Wretman (1992), sections 3.5 and 6.3 (the difference estimator);
        Horvitz & Thompson (1952), JASA 47; Zrnic & Candes (2024), arXiv 2403.03208.

    >>> audits = Audits.of(
    ...     pi=0.5,
    ...     audited=[True, False] * 100,
    ...     wrong=[1, 0, 0, 0] * 50,
    ...     predicted=[0.8, 0.8, 0, 0] * 50,
    ... )
    >>> found = difference(audits, alpha=0.05)
    >>> round(found.estimate, 3), round(found.interval.lower, 3)
    (0.5, 0.48)
    """
    open_unit("alpha", alpha)
    if weight is None:
        _, eh, hh = audits.products[2]
        weight = min(eh / hh, 1.0) if hh else 0.0
    elif not 0 <= weight <= 1:
        raise InputError("weight", weight, "must lie in [0, 1]")
    missing = _missing(audits)
    if missing:
        return missing
    each = np.array([0.0, 1.0, -weight]) / audits.units
    estimate = weight * audits.predicted / audits.units + float(each @ audits.totals)
    return _look(audits, estimate, each, alpha)


def ppi(labelled: Moments, unlabelled: Moments, *, alpha: float) -> SingleLook | NotYet:
    """Mean label of a population of which a uniform sample is labelled and all is predicted: PPI++.

        estimate = l mean_N(f) + mean_n(Y - l f)
        l = clip(cov_n(Y, f) / ((1 + n / N) var(f)), 0, 1)
        variance = l^2 var_N(f) / N + var_n(Y - l f) / n

    var(f) is the unbiased variance of both samples together, the others divide by n and by N. A
    useless prediction gives l = 0, the plain mean of the labels. `n` counts labels.

    Args:
        labelled: moments of one row (label, prediction) per labelled unit.
        unlabelled: moments of the prediction of the units without a label.
        alpha: level of the two-sided interval.

    Returns:
        One look, or `NotYet` below 20 units of either kind, or while all labels are equal.

    Raises:
        InputError: moments of other dimensions, alpha outside (0, 1).

    References:
        Angelopoulos, Duchi & Zrnic (2023), PPI++, arXiv 2311.01453; formulas as in ppi-python.

    >>> labelled = Moments.of([[0, 0.1], [1, 0.9]] * 50)
    >>> found = ppi(labelled, Moments.of([0.1, 0.9, 0.9] * 500), alpha=0.05)
    >>> round(found.estimate, 3), round(found.interval.lower, 3)
    (0.633, 0.606)
    """
    open_unit("alpha", alpha)
    for name, given, d in (("labelled", labelled, 2), ("unlabelled", unlabelled, 1)):
        if given.n and given.mean.shape != (d,):
            raise InputError(name, given.mean.shape, f"must be moments of {d} values per unit")
    fewest = min(labelled.n, unlabelled.n)
    if fewest < LEAST:
        return NotYet(fewest, LEAST, "too few labelled or unlabelled units for a normal interval")
    if not labelled.m2[0, 0]:
        return NotYet(1, 2, "all labels are equal: a normal interval needs two different ones")
    n, total = labelled.n, unlabelled.n
    pooled = (labelled.project((0, 1)) + unlabelled).variance.item()
    slope = labelled.m2[0, 1] / n / ((1 + n / total) * pooled) if pooled else 0.0
    weight = min(max(slope, 0.0), 1.0)
    rest = labelled.project((1, -weight))
    variance = weight**2 * unlabelled.m2.item() / total**2 + rest.m2.item() / n**2
    estimate = weight * unlabelled.mean.item() + rest.mean.item()
    return _normal(n, estimate, variance, alpha, (UNIFORM, NORMAL))


def _missing(audits: Audits) -> NotYet | None:
    fewest = min(audits.right, audits.wrong)
    if fewest >= LEAST:
        return None
    return NotYet(fewest, LEAST, "too few right or wrong verdicts for a normal interval")


def _look(audits: Audits, estimate: float, each: Floats, alpha: float) -> SingleLook:
    variance = max(float(each @ audits.products @ each), 0.0)  # rounding may leave less than 0
    return _normal(audits.right + audits.wrong, estimate, variance, alpha, (POISSON, NORMAL))


def _normal(
    n: int, estimate: float, variance: float, alpha: float, assumes: tuple[str, ...]
) -> SingleLook:
    reach = -float(ndtri(alpha / 2)) * math.sqrt(variance)
    interval = Interval(estimate - reach, estimate + reach)
    return SingleLook(n=n, estimate=estimate, interval=interval, alpha=alpha, assumes=assumes)


def _within(argument: str, given: Floats, allowed: ArrayLike, rule: str) -> None:
    wrong = ~np.asarray(allowed)
    if wrong.any():
        raise InputError(argument, float(given[wrong][0]), rule)
