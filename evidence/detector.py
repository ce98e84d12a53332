"""S13: has the risk risen since promotion? A detector over closed windows.

A confidence sequence must first win back what it lost while all was well. The detector lets one
bettor start at every window, so what it needs to see a change does not grow with the time before.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evidence.bets import OFFSETS, Statistic, mixed
from evidence.domain import Floats, InputError, counts, finite, open_unit
from evidence.results import Side

START: Floats = np.zeros(len(OFFSETS))  # before the first window: nobody has won anything
START.flags.writeable = False


@dataclass(frozen=True)
class Detector:
    """Alarms when the effect has come to lie on `side` of `effect`, some time or other.

        M_wj = (M_{w-1,j} + 1) W_wj,   alarm when  sum_j w_j M_wj >= 1 / alpha

    with W_wj the wealth that bettor j of `statistic` makes of the units of window w. While the
    null holds, sum_j w_j M_wj - w falls or stays on average; so windows to a false alarm average
    at least 1 / alpha, exactly. A window without units is none: it changes nothing and does not
    count.

    The state is ln(1 + M_wj), shape (..., 29): finite floats from `START`, in the order of the
    windows; leading axes are independent monitors. It outlives a change of the statistic's frozen
    parameters, because bettor j means the same before and after. After an alarm begin anew.

    Args:
        statistic: what is tested, frozen.
        effect: the ceiling (or, for BELOW, the floor), in units of the effect.
        side: the direction of the alarm.
        alpha: one false alarm per 1 / alpha windows at most, on average; in (0, 1).

    Raises:
        InputError: effect not finite, alpha outside (0, 1), a state that is negative or NaN, wrong
            shapes.

    References:
        Shin, Ramdas & Rinaldo (2024), E-detectors, New England J. Stat. Data Sci. 2;
        Shiryaev (1963), Roberts (1966).

    >>> from evidence.risks import OneArmShare
    >>> errors = Detector(OneArmShare(), effect=0.05, side=Side.ABOVE, alpha=0.001)
    >>> state = START
    >>> for bad in [30, 25, 90, 85]:
    ...     state = errors.step(state, [1_000 - bad, bad])
    ...     print(round(errors.log_m(state).item(), 1), errors.alarms(state).item())
    -1.9 False
    -1.6 False
    11.4 True
    21.6 True
    """

    statistic: Statistic
    effect: float
    side: Side
    alpha: float

    def __post_init__(self) -> None:
        finite("effect", self.effect)
        open_unit("alpha", self.alpha)

    def step(self, state: Floats, cells: ArrayLike) -> Floats:
        """The state after one more closed window that counted `cells`, shape (..., *shape)."""
        shape = self.statistic.shape
        window = counts("cells", cells, shape)
        if state.shape[-1:] != START.shape:
            rule = f"must have a shape that ends with {START.shape}"
            raise InputError("state", state.shape, rule)
        if not (state >= 0).all():
            raise InputError("state", state.min().item(), "must not be negative")
        wealth = self.statistic.log_wealth(window, self.effect, self.side)
        happened = np.asarray(window.any(axis=tuple(range(-len(shape), 0))))[..., None]
        return np.where(happened, np.logaddexp(0.0, state + wealth), state)

    def log_m(self, state: Floats) -> Floats:
        """ln sum_j w_j M_j in nats, shape (...); -inf before the first window."""
        total = mixed(state)  # ln(1 + sum_j w_j M_j), because the weights add to 1
        with np.errstate(divide="ignore"):
            return np.log(-np.expm1(-np.maximum(total, 0.0))) + total

    def alarms(self, state: Floats) -> NDArray[np.bool_]:
        """Whether the detector alarms now, shape (...)."""
        return np.asarray(mixed(state) >= math.log1p(1 / self.alpha))
