"""How well annotators agree: Cohen's and Fleiss' kappa, Krippendorff's alpha.

All are 1 where opinions never differ and 0 where they differ as often as by chance. Where there is
no chance disagreement to compare with (one category only, or no unit with two opinions) they are
undefined: `None`, never a number.

`opinions` always means a count matrix of shape (units, categories): how many raters put the unit
there. Raters that did not see a unit are simply missing from its row.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evidence.cells import Cells
from evidence.domain import Floats, InputError, Ints, counts, levels, open_unit
from evidence.results import Interval, SingleLook


class Scale(StrEnum):
    """What a difference between two categories means."""

    NOMINAL = "nominal"  # they differ, or not
    ORDINAL = "ordinal"  # how many opinions lie between them
    INTERVAL = "interval"  # the difference of their values
    RATIO = "ratio"  # the difference of their values in relation to their sum


def cohen_kappa(table: ArrayLike) -> float | None:
    """Agreement of two raters beyond chance.

        kappa = (p_o - p_e) / (1 - p_e),   p_o = sum_i p_ii,   p_e = sum_i p_i. p_.i

    Args:
        table: how often the first rater said i and the second j, shape (categories, categories).

    Returns:
        At most 1; `None` where both raters used one and the same category only, or none.

    Raises:
        InputError: not a square table of counts.

    References:
        Cohen (1960), Educational and Psychological Measurement 20.

    >>> cohen_kappa([[20, 5], [10, 15]])
    0.4
    """
    joint = _matrix("table", table).astype(float)
    if joint.shape[0] != joint.shape[1]:
        raise InputError("table", joint.shape, "must be square")
    return _beyond_chance(joint.trace(), joint.sum(axis=0) @ joint.sum(axis=1), joint.sum())


def fleiss_kappa(opinions: ArrayLike) -> float | None:
    """Agreement beyond chance of equally many raters on every unit.

        kappa = (P - P_e) / (1 - P_e),   P_i = (sum_j n_ij^2 - r) / (r (r - 1)),   P_e = sum_j p_j^2

    Args:
        opinions: counts, shape (units, categories); every row sums to the same r >= 2.

    Returns:
        At most 1; `None` where only one category was used, or there is no unit.

    Raises:
        InputError: not a matrix of counts, or rows of other sums; Krippendorff's alpha takes those.

    References:
        Fleiss (1971), Psychological Bulletin 76.

    >>> round(fleiss_kappa([[3, 0], [1, 2], [0, 3], [3, 0]]), 4)
    0.6571
    """
    given = _matrix("opinions", opinions).astype(float)
    raters = set(given.sum(axis=1).tolist())
    if len(raters) > 1 or min(raters, default=2) < 2:
        raise InputError("opinions", sorted(raters), "must be of equally many raters, at least 2")
    if not raters:
        return None
    r, shares = raters.pop(), given.sum(axis=0)
    agreeing = ((given**2).sum() - given.sum()) / (r - 1)
    return _beyond_chance(agreeing, shares @ shares, given.sum())


def pairs(opinions: ArrayLike, *, raters: int) -> Cells:
    """The mergeable state of Krippendorff's alpha: which opinions met on the same unit.

        pairs[m - 2, c, k] = sum over units with m opinions of n_c (n_k - [c = k])

    Units with one opinion have no pairs. Counts of distinct units add.

    Args:
        opinions: counts, shape (units, categories).
        raters: the most opinions that any unit may have, at least 2, frozen.

    Returns:
        Cells of shape (raters - 1, categories, categories).

    Raises:
        InputError: not a matrix of counts, or a unit with more opinions.

    >>> pairs([[2, 0], [1, 1]], raters=2)
    Cells([[[2, 1], [1, 0]]])
    """
    given = _matrix("opinions", opinions)
    if raters < 2:
        raise InputError("raters", raters, "must be at least 2")
    sizes = given.sum(axis=1)
    if sizes.max(initial=0) > raters:
        raise InputError("opinions", int(sizes.max()), f"must be at most {raters} per unit")
    found = np.zeros((raters - 1, given.shape[1], given.shape[1]), dtype=np.int64)
    for size in range(2, raters + 1):
        rows = given[sizes == size]
        found[size - 2] = rows.T @ rows - np.diag(rows.sum(axis=0))
    return Cells(found)


def krippendorff_alpha(
    found: ArrayLike, *, scale: Scale, values: ArrayLike | None = None
) -> float | None:
    """Agreement beyond chance of any number of raters, of whom some may be missing.

        alpha = 1 - (n - 1) sum_ck o_ck d_ck / sum_ck n_c n_k d_ck,   o = sum_m pairs_m / (m - 1)

    with d_ck = [c != k] (nominal), (c - k)^2 (interval), ((c - k) / (c + k))^2 (ratio), or the
    squared distance of mid-ranks (ordinal). Below 0.667 labels do not carry a conclusion.

    Args:
        found: what `pairs` counted, shape (raters - 1, categories, categories), or `Cells()`.
        scale: what a difference between categories means; ordinal ones stand in their order.
        values: each category's value, for interval and ratio; not negative for ratio.

    Returns:
        At most 1; `None` without pairs, or where only one category occurs in pairs.

    Raises:
        InputError: counts of another shape, or values that are missing or do not fit.

    References:
        Krippendorff (2011), Computing Krippendorff's Alpha-Reliability.

    >>> state = pairs([[3, 0], [2, 1], [0, 2], [1, 0]], raters=3)
    >>> round(krippendorff_alpha(state, scale=Scale.NOMINAL), 4)
    0.5333
    """
    given = counts("found", found, ())
    if not given.ndim:
        return None
    if given.ndim != 3 or given.shape[1] != given.shape[2]:
        raise InputError("found", given.shape, "must have the shape (raters - 1, k, k)")
    coincidences = np.tensordot(1 / np.arange(1, len(given) + 1), given, axes=1)
    alphas, defined = _alphas(coincidences[None], scale, values)
    return alphas.item() if defined.item() else None


def krippendorff_interval(
    opinions: ArrayLike,
    *,
    scale: Scale,
    values: ArrayLike | None = None,
    alpha: float,
    seed: int,
    replicates: int = 2_000,
) -> SingleLook | None:
    """Krippendorff's alpha with the percentile interval of a bootstrap over units.

    Units alike are drawn together, so the cost is replicates x distinct rows. A replicate in which
    alpha is undefined counts as worst for either end: -inf for the lower, 1 for the upper.

    Args:
        opinions: counts, shape (units, categories); only units with two opinions take part.
        scale: as in `krippendorff_alpha`, and so is `values`.
        alpha: level of the interval, in (0, 1).
        seed: of the bootstrap; the order of the units does not matter.
        replicates: bootstrap samples, at least 1 / alpha.

    Returns:
        `None` where alpha is undefined, or fewer than two units have two opinions.

    Raises:
        InputError: as `krippendorff_alpha`, or too few replicates.

    References:
        Efron & Tibshirani (1993), An Introduction to the Bootstrap, 13.3.

    >>> opinions = [[2, 0]] * 40 + [[1, 1]] * 10 + [[0, 2]] * 50
    >>> found = krippendorff_interval(opinions, scale=Scale.NOMINAL, alpha=0.05, seed=1)
    >>> round(found.estimate, 2), round(found.interval.lower, 2), round(found.interval.upper, 2)
    (0.8, 0.68, 0.9)
    """
    given = _matrix("opinions", opinions)
    if replicates * open_unit("alpha", alpha) < 1:
        raise InputError("replicates", replicates, "must be at least 1 / alpha")
    paired = given[given.sum(axis=1) >= 2]
    rows, units = np.unique(paired, axis=0, return_counts=True)
    each = rows[:, :, None] * rows[:, None, :] - rows[:, :, None] * np.eye(rows.shape[1])
    each /= rows.sum(axis=1)[:, None, None] - 1
    whole, defined = _alphas(np.tensordot(units, each, 1)[None], scale, values)
    if len(paired) < 2 or not defined.item():
        return None
    shares = units / len(paired)
    drawn = np.random.default_rng(seed).multinomial(len(paired), shares, size=replicates)
    alphas, defined = _alphas(np.tensordot(drawn, each, 1), scale, values)
    cut = int(replicates * alpha / 2)  # so many replicates lie beyond each end
    lower = np.sort(np.where(defined, alphas, -np.inf))[cut]
    upper = np.sort(np.where(defined, alphas, 1.0))[-1 - cut]
    return SingleLook(
        n=len(paired),
        estimate=whole.item(),
        interval=Interval(lower.item(), upper.item()),
        alpha=alpha,
        assumes=("units are independent and alike", "units are many enough for a bootstrap"),
    )


def _matrix(argument: str, given: ArrayLike) -> Ints:
    found = counts(argument, given, ())
    if found.ndim != 2:
        raise InputError(argument, found.shape, "must be a matrix")
    return found


def _beyond_chance(agreeing: float, products: float, n: float) -> float | None:
    """(p_o - p_e) / (1 - p_e) for p_o = agreeing / n and p_e = products / n^2."""
    possible = n * n - products
    return float((n * agreeing - products) / possible) if possible > 0 else None


def _alphas(
    coincidences: Floats, scale: Scale, values: ArrayLike | None
) -> tuple[Floats, NDArray[np.bool_]]:
    """Alpha of each coincidence matrix, shape (..., k, k), and where it is defined."""
    margins = coincidences.sum(axis=-1)
    apart = _squared_distances(margins, scale, values)
    observed = (coincidences * apart).sum(axis=(-2, -1))
    expected = (margins[..., :, None] * margins[..., None, :] * apart).sum(axis=(-2, -1))
    defined = expected > 0
    n = margins.sum(axis=-1)
    return 1 - (n - 1) * observed / np.where(defined, expected, 1), defined


def _squared_distances(margins: Floats, scale: Scale, values: ArrayLike | None) -> Floats:
    k = margins.shape[-1]
    if scale is Scale.NOMINAL:
        return 1 - np.eye(k)
    if scale is Scale.ORDINAL:
        at = np.cumsum(margins, axis=-1) - margins / 2
        return np.square(at[..., :, None] - at[..., None, :])
    if values is None or len(at := levels("values", values)) != k:
        raise InputError("values", values, f"must be {k} numbers for the scale {scale}")
    if scale is Scale.RATIO and at.min() < 0:
        raise InputError("values", at.min().item(), "must not be negative for a ratio")
    at = at / (np.abs(at).max() or 1.0)  # alpha has no unit, and squares stay finite
    gaps = np.subtract.outer(at, at)
    sums = np.add.outer(at, at) if scale is Scale.RATIO else np.ones_like(gaps)
    return np.square(gaps / np.where(gaps == 0, 1.0, sums))
