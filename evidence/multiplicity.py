"""S10: many slices, metrics and attempts at once.

E-values first: what is said of them holds under any dependence between the tests and at any time
at which all are looked at together. The two p-value procedures are for single-look tables.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evidence.domain import Floats, InputError, open_unit

Rejected = NDArray[np.bool_]


def e_bh(log_e: ArrayLike, *, fdr: float) -> Rejected:
    """Which hypotheses to reject so that at most `fdr` of the rejected are expected to be true.

        reject the k largest,   k = max{k : k e_(k) / m >= 1 / fdr}

    The false discovery rate is at most fdr * (share of true hypotheses), whatever the dependence.

    Args:
        log_e: one log e-value per hypothesis, nats, shape (m,), m >= 1; infinite ones are allowed.
        fdr: level, in (0, 1).

    Returns:
        Whether each is rejected, shape (m,).

    Raises:
        InputError: no or a NaN e-value, more than one axis, fdr outside (0, 1).

    References:
        Wang & Ramdas (2022), False discovery rate control with e-values, JRSS-B 84.

    >>> e_bh(np.log([45.0, 21.0, 2.0, 13.0]), fdr=0.1).tolist()
    [True, True, False, False]
    """
    found = _family("log_e", log_e)
    m = len(found)
    needed = math.log(m) - np.log(np.arange(m, 0, -1)) - math.log(open_unit("fdr", fdr))
    rising = np.sort(found)
    enough = rising >= needed
    return found >= rising[enough.argmax()] if enough.any() else np.zeros(m, dtype=np.bool_)


def e_holm(log_e: ArrayLike, *, alpha: float) -> Rejected:
    """Which hypotheses to reject so that P(any of the rejected is true) <= alpha.

        from the largest down, while  e_(i) >= (m - i + 1) / alpha      (Holm's rule on p = 1 / e)

    Under any dependence. Arguments, result and errors as `e_bh`.

    References:
        Holm (1979), Scand. J. Stat. 6; Vovk & Wang (2021), E-values, Annals of Statistics 49.

    >>> e_holm(np.log([45.0, 21.0, 2.0, 90.0]), alpha=0.05).tolist()
    [False, False, False, True]
    """
    found = _family("log_e", log_e)
    needed = np.log(np.arange(len(found), 0, -1)) - math.log(open_unit("alpha", alpha))
    return _while(-found, -needed)


def holm(p: ArrayLike, *, alpha: float) -> Rejected:
    """Holm's rule for p-values of one look: P(any of the rejected is true) <= alpha.

    Under any dependence, but for a single look.

    Args:
        p: one p-value per hypothesis, shape (m,), m >= 1, in [0, 1].

    Raises:
        InputError: a value outside [0, 1], none at all, alpha outside (0, 1).

    >>> holm([0.01, 0.04, 0.03], alpha=0.05).tolist()
    [True, False, False]
    """
    found = _p_values(p)
    return _while(found, open_unit("alpha", alpha) / np.arange(len(found), 0, -1))


def bh(p: ArrayLike, *, fdr: float) -> Rejected:
    """Benjamini & Hochberg's rule for p-values of one look: false discovery rate <= fdr.

        reject the k smallest,   k = max{k : p_(k) m / k <= fdr}

    For independent (or positively dependent) tests at a single look. Errors as `holm`.

    References:
        Benjamini & Hochberg (1995), JRSS-B 57.

    >>> bh([0.01, 0.04, 0.03], fdr=0.05).tolist()
    [True, True, True]
    """
    found = _p_values(p)
    m = len(found)
    rising = np.sort(found)
    enough = rising * (m / np.arange(1, m + 1)) <= open_unit("fdr", fdr)
    return found <= rising[enough][-1] if enough.any() else np.zeros(m, dtype=np.bool_)


def average(log_e: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Log e-value against "nothing is wrong in this family": sum_i w_i e_i, in logs.

    The mean of e-values is an e-value, of e-processes an e-process, under any dependence.

    Args:
        log_e: nats, the family along the last axis, shape (..., m).
        weights: of each member, shape (m,), not negative, adding to 1; equal unless given. Frozen
            before the first unit.

    Returns:
        Nats, shape (...).

    Raises:
        InputError: no or a NaN e-value, weights that are negative or do not add to 1.

    >>> round(float(average(np.log([30.0, 2.0, 1.0]))), 3) == round(math.log(11), 3)
    True
    """
    found = np.asarray(log_e, dtype=np.float64)
    if found.ndim == 0 or not found.shape[-1]:
        raise InputError("log_e", found.shape, "must hold at least one e-value")
    if np.isnan(found).any():
        raise InputError("log_e", math.nan, "must not be NaN")
    m = found.shape[-1]
    shares = np.full(m, 1 / m) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != (m,) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-9:
        raise InputError("weights", weights, f"must be {m} shares that add to 1")
    held = shares > 0  # what has no weight adds nothing, even where it is infinite
    mean: Floats = np.logaddexp.reduce(found[..., held] + np.log(shares[held]), axis=-1)
    return mean


def calibrated(p: ArrayLike, kappa: float = 0.5) -> Floats:
    """Log e-values from p-values:  e = kappa p^(kappa - 1).

    Exact where P(p <= t) <= t. Successive windows multiply (their logs add) only if each p-value
    is valid given the windows before it: the reference is fixed and no part of any window.

    Args:
        p: shape (...), in [0, 1]; 0 gives an infinite e-value.
        kappa: in (0, 1); near 0 it hopes for tiny p-values.

    Raises:
        InputError: a value outside [0, 1], kappa outside (0, 1).

    References:
        Shafer, Shen, Vereshchagin & Vovk (2011), Stat. Sci. 26; Vovk & Wang (2021).

    >>> calibrated([1.0, 0.01, 0.0001]).round(3).tolist()
    [-0.693, 1.609, 3.912]
    """
    given = _shares(p)
    with np.errstate(divide="ignore"):
        return math.log(open_unit("kappa", kappa)) + (kappa - 1) * np.log(given)


def attempt_level(alpha: float, attempt: int) -> float:
    """The level of a version's attempt a at promotion:  alpha / (a (a + 1)),  in all at most alpha.

    Where K challengers run at once, `alpha` is the K-th part of the whole.

    Raises:
        InputError: alpha outside (0, 1), attempt below 1.

    >>> attempt_level(0.05, 1), round(attempt_level(0.05, 4), 6)
    (0.025, 0.0025)
    """
    if attempt < 1:
        raise InputError("attempt", attempt, "must be at least 1")
    return open_unit("alpha", alpha) / (attempt * (attempt + 1))


def _while(values: Floats, limits: Floats) -> Rejected:
    """Step down: from the smallest value up, for as long as each is within its limit."""
    order = np.argsort(values, kind="stable")
    rejected = np.zeros(len(values), dtype=np.bool_)
    rejected[order] = np.logical_and.accumulate(values[order] <= limits)
    return rejected


def _family(argument: str, value: ArrayLike) -> Floats:
    given: Floats = np.asarray(value, dtype=np.float64)
    if given.ndim != 1 or not len(given):
        raise InputError(argument, given.shape, "must be a list of at least one")
    if np.isnan(given).any():
        raise InputError(argument, math.nan, "must not be NaN")
    return given


def _shares(p: ArrayLike) -> Floats:
    given: Floats = np.asarray(p, dtype=np.float64)
    wrong = ~((given >= 0) & (given <= 1))
    if wrong.any():
        raise InputError("p", given[wrong][0].item(), "must lie between 0 and 1")
    return given


def _p_values(p: ArrayLike) -> Floats:
    return _family("p", _shares(p))
