"""S8: the mean loss of a model from audits of a few units, exact at any time.

Each unit is audited with a known probability, drawn before its loss is known and never 0, so that
every unit carries an unbiased outcome whether anybody looked at it or not. A frozen scorer that
predicts losses takes out what it knows; where it is wrong, the audits correct it.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from evidence.bets import DEFAULT_PLAN, Plan, log_wealth
from evidence.domain import Floats, InputError, Ints, counts, levels, positive
from evidence.results import Interval, Side

LADDER = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)  # a probability below sets the range, and the width
MOST_LEVELS = 16


class Audit(IntEnum):
    """What became of a unit by its time H_audit: the last axis of the counts."""

    NONE = 0  # not sampled
    RIGHT = 1  # sampled, loss 0
    WRONG = 2  # sampled, loss 1
    UNRESOLVED = 3  # sampled, and undecided when its time was up


@dataclass(frozen=True, kw_only=True)
class AuditedMean:
    """Mean loss of all units from the audited ones, with known inclusion probabilities.

        psi = f + (xi / pi) (loss - f),    E[psi | past] = mean loss

    xi is whether the unit was audited, f the frozen scorer's prediction; without a scorer (f = 0)
    this is Horvitz and Thompson's estimator. S1 on psi: exact at every n under a look after every
    unit, whatever pi was chosen from the past and however bad the scorer is. An unresolved audit
    counts at the end that hurts the claim. A loss between 0 and 1 is first rounded to 0 or 1 with
    that probability. Counts have the shape (..., strata, levels, 4), the last axis an `Audit`.

    Args:
        ladder: inclusion probability of each stratum, out of `LADDER`, falling; the last is the
            floor, and the range of psi is about 1 / floor.
        predicted: levels of the scorer's predicted loss, rising, in [0, 1], at most 16.
        sigma0: guessed standard deviation of psi (`spread`), above 0.
        plan: what the bets are tuned for, in units, audited or not.

    Raises:
        InputError: a probability that is not in the ladder, a level outside [0, 1], either out of
            order, sigma0 not above 0; counts with an unaudited unit where the probability is 1.

    References:
        Horvitz & Thompson (1952), JASA 47; Robins, Rotnitzky & Zhao (1994), JASA 89 (AIPW);
        Zrnic & Candes (2024), arXiv 2403.03208; Xu et al. (2024), arXiv 2406.10490.

    Example: 10,000 units, half the risky tenth audited, of the others 2 %; is the error under 10 %?

    >>> from evidence.sequences import Epoch, evidence
    >>> test = AuditedMean(ladder=(0.5, 0.02), sigma0=1.0)
    >>> cells = [[[500, 350, 150, 0]], [[8820, 176, 4, 0]]]
    >>> found = evidence([Epoch(test, cells)], 0.1, Side.BELOW, alpha=0.05)
    >>> found.estimate, round(found.interval.upper, 3), found.rejects
    (0.05, 0.098, True)
    """

    ladder: tuple[float, ...]
    predicted: tuple[float, ...] = (0.0,)
    sigma0: float
    plan: Plan = DEFAULT_PLAN
    effects = Interval(0.0, 1.0)
    monotone = True
    assumes = (
        "each unit is audited with its logged probability, whatever its loss",
        "given the past, every unit's mean loss is the tested value",
    )

    def __post_init__(self) -> None:
        _ladder(self.ladder)
        _predicted(self.predicted)
        positive("sigma0", self.sigma0)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.ladder), len(self.predicted), len(Audit))

    @cached_property
    def ends(self) -> tuple[Floats, Floats]:
        """(low, high) psi of every cell, flat: both the same but where an audit is unresolved."""
        pi, f = _ladder(self.ladder)[:, None], _predicted(self.predicted)
        none, right, wrong = f + 0 * pi, f - f / pi, f + (1 - f) / pi
        low = np.stack([none, right, wrong, right], axis=-1).ravel()
        high = np.stack([none, right, wrong, wrong], axis=-1).ravel()
        return low, high

    def psi_levels(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(low, high) psi of every cell, for `Arms(levels=low, high=high)`: two audited arms."""
        low, high = self.ends
        return tuple(low.tolist()), tuple(high.tolist())

    def log_wealth(self, cells: ArrayLike, effect: float, side: Side) -> Floats:
        found = self._counted(cells)
        flat = found.reshape(*found.shape[:-3], -1).astype(float)
        outcomes = self.ends[side is Side.BELOW]
        return log_wealth(flat, outcomes, effect, side, self.plan.stakes(self.sigma0))

    def units(self, cells: ArrayLike) -> int:
        """All units, audited or not."""
        return int(self._counted(cells).sum())

    def estimate(self, cells: ArrayLike) -> float | None:
        """Mean psi, an unresolved audit at its middle: unbiased, and so not kept within [0, 1]."""
        found = self._counted(cells).ravel()
        low, high = self.ends
        return float(found @ (low + high) / 2 / found.sum()) if found.sum() else None

    def _counted(self, cells: ArrayLike) -> Ints:
        found = counts("cells", cells, self.shape)
        if self.ladder[0] == 1 and found[..., 0, :, Audit.NONE].any():
            passed = int(found[..., 0, :, Audit.NONE].sum())
            raise InputError("cells", passed, "must hold no unaudited unit where all are audited")
        return found


def spread(
    ladder: tuple[float, ...], predicted: tuple[float, ...], *, share: ArrayLike, risk: ArrayLike
) -> float:
    """Planned standard deviation of psi, for `sigma0`.

        sigma^2 = var(loss) + E[(1 / pi - 1) (loss - f)^2]

    Args:
        ladder: as for `AuditedMean`.
        predicted: as for `AuditedMean`.
        share: planned share of the units in each stratum and level, (strata, levels), adding to 1.
        risk: planned mean loss there, same shape, in [0, 1].

    Raises:
        InputError: shapes differ, shares that do not add to 1, a risk outside [0, 1], no variance.

    >>> round(spread((0.5, 0.02), (0.0,), share=[[0.1], [0.9]], risk=[[0.3], [0.02]]), 3)
    0.979
    """
    pi, f = _ladder(ladder)[:, None], _predicted(predicted)
    weight, p = np.asarray(share, dtype=float), np.asarray(risk, dtype=float)
    shape = (len(ladder), len(predicted))
    for argument, given in (("share", weight), ("risk", p)):
        if given.shape != shape or not ((given >= 0) & (given <= 1)).all():
            raise InputError(
                argument, given.tolist(), f"must be numbers in [0, 1] of shape {shape}"
            )
    if abs(weight.sum() - 1) > 1e-9:
        raise InputError("share", weight.tolist(), "must add to 1")
    mean = float((weight * p).sum())
    error = p * (1 - f) ** 2 + (1 - p) * f**2
    variance = mean * (1 - mean) + float((weight * (1 / pi - 1) * error).sum())
    return math.sqrt(positive("risk", variance))


def shrunk_margin(margin: float, eps_upper: float) -> float:
    """The margin at which to test a difference of audited losses when auditors err.

        margin (1 - 2 eps)

    Label error at rate eps, the same in both arms, shrinks a difference by just that factor, so at
    the full margin a harmful model passes as safe.

    Args:
        margin: the tolerated difference, at least 0.
        eps_upper: upper confidence bound of the auditors' error rate (gold items), in [0, 1/2).

    Raises:
        InputError: margin below 0 or not finite, eps_upper outside [0, 1/2).

    >>> round(shrunk_margin(0.02, 0.05), 4)
    0.018
    """
    if not 0 <= margin < math.inf:
        raise InputError("margin", margin, "must be at least 0 and finite")
    if not 0 <= eps_upper < 0.5:
        raise InputError("eps_upper", eps_upper, "must be at least 0 and below 1/2")
    return margin * (1 - 2 * eps_upper)


def _ladder(given: tuple[float, ...]) -> Floats:
    pi = levels("ladder", given)
    if not set(given) <= set(LADDER) or (np.diff(pi) >= 0).any():
        raise InputError("ladder", given, f"must be taken from {LADDER}, falling")
    return pi


def _predicted(given: tuple[float, ...]) -> Floats:
    f = levels("predicted", given)
    if len(f) > MOST_LEVELS or f[0] < 0 or f[-1] > 1 or (np.diff(f) <= 0).any():
        rule = f"must be at most {MOST_LEVELS} levels in [0, 1], rising"
        raise InputError("predicted", given, rule)
    return f
