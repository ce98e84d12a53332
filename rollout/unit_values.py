"""Sums of sticky units to cells: each unit is one value in each period of its epoch. Pure.

Period 1 is the exposure. An epoch may be much longer: period k = 2, 3 ... is as long as all before
it, so that a unit's later values are few, and each is of many events. Each period has its own
account of harm; `safe` reads the first (`evidence.decision.Question`).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rollout.cells import EVERYWHERE, Opened, point
from rollout.counted import HALVES, Counted, Own

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Unit(NamedTuple):
    """A unit that is compared, and the bucket in which it was first seen."""

    unit8: int
    bucket_ms: int
    arm: int
    slices: int


def span_ms(own: Own, grain_ms: int, period: int) -> tuple[int, int]:
    """Where a period begins and ends, from the bucket of enrolment on."""
    first = -(-own.exposure_ms // grain_ms) * grain_ms
    return (0, first) if period == 1 else (first << period - 2, first << period - 1)


def exposure_ms(opened: Opened) -> int:
    """For how long the last enrolled unit is followed up: by the metric that does so longest."""
    grain = opened.grain_ms
    return max((span_ms(own, grain, 1)[1] for own in opened.owned.values()), default=0)


def vectors(opened: Opened, no: int, period: int, units: list[Unit], sums: Ints) -> dict[str, Ints]:
    """What these units add to the cells of a metric, by counter: everywhere and by slice.

    Args:
        sums: for each unit what its events in the period add up to, shape
            (units, `rollout.partials.width`).
    """
    metric = opened.metrics[no]
    groups = _groups(opened, units)
    columns = _columns(opened, metric, period, units, sums[:, 0], sums[:, 1 + 2 * no : 3 + 2 * no])
    masks = np.array([unit.slices for unit in units], np.int64)
    shape = (metric.groups(len(opened.challengers)), metric.columns)
    found = {}
    for slot in opened.where():
        here = np.ones(len(units), bool) if slot == EVERYWHERE else masks >> slot & 1 > 0
        cells = np.zeros(shape, np.int64)
        np.add.at(cells, (groups[here], np.zeros_like(groups[here])), 1)
        known = here & (columns > 0)
        np.add.at(cells, (groups[known], columns[known]), 1)
        if cells.any():
            found[opened.what(no, slot, period)] = cells.ravel()
    return found


def _groups(opened: Opened, units: list[Unit]) -> Ints:
    """A half of the champion by a salt of its own, or the challenger's."""
    salt = opened.salts.self_check
    return np.array(
        [HALVES + unit.arm - 1 if unit.arm else int(drawn(salt, unit) * HALVES) for unit in units],
        np.int64,
    )


def _columns(
    opened: Opened, metric: Counted, period: int, units: list[Unit], answers: Ints, told: Ints
) -> Ints:
    """The column of each unit's value; 0 for one that nothing is known of: it is missing."""
    own = metric.own
    assert own is not None
    known, total = told[:, 0], told[:, 1] / own.scale
    blank = np.maximum(answers - known, 0) if own.absent is not None else np.zeros_like(known)
    absent = own.absent or 0.0
    if own.stat == "any":
        happened = (total > 0) | (absent * blank > 0)
        return np.where(known + blank > 0, 1 + happened, 0)
    is_known = known + blank > 0 if own.stat == "mean" else known > 0
    parts = known + blank if own.stat == "mean" else np.ones_like(known)
    values = (total + absent * blank) / np.where(is_known, np.maximum(parts, 1), 1)
    salt = f"{opened.salts.rounding}\0{metric.name}\0{period}"
    uniforms = np.array([drawn(salt, unit) for unit in units])
    if metric.buckets is None:
        levels: Ints = (uniforms < values).astype(np.int64)
    else:
        levels = metric.buckets.levels().rounded(values, uniforms)
    return np.where(is_known, 1 + levels, 0)


def drawn(salt: str, unit: Unit) -> float:
    """A permanent random number of a unit in [0, 1), for this salt."""
    return point(salt, unit.unit8.to_bytes(8, "big", signed=True))
