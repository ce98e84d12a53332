"""Pairs of sticky units: what their events say of them, and the one value that each unit has.

Pairs of one unit are not independent, so a unit counts once in an epoch: one of its pairs within
the exposure, drawn by the unit's hash. Every pair is as likely to be drawn as any other, so the
mean over units is that of their own means, and all that is said of pairs holds: strata,
probabilities of audits, outcomes that never came.

A row of pairs has cells of its own (`Layout`): of each metric its groups, in these its columns.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rollout.audits import told
from rollout.cells import EVERYWHERE, Opened
from rollout.contributions import Contribution, Truths, in_panes, until
from rollout.counted import Counted, Side
from rollout.losses import NOTHING
from rollout.partials import CHANGES, NEVER, PAIRED, Part, Row, due_ms, summed
from rollout.unit_values import Unit, drawn
from streams.answer_rows import Answers
from streams.counters import Deltas
from streams.facts import Labelled, pane_of

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Layout(NamedTuple):
    """Where each metric's cells begin in a row, and how many there are in all."""

    places: dict[int, int]
    width: int


def layout(opened: Opened) -> Layout:
    places, width = {}, 0
    for no in opened.owned_of(Side.PAIRS):
        metric = opened.metrics[no]
        places[no] = width
        width += metric.groups(len(opened.challengers)) * metric.columns
    return Layout(places, width)


def settles_ms(opened: Opened) -> int:
    """How long after its time the first pair of a unit may become whole."""
    return min(own.settles_ms for own in opened.owned_of(Side.PAIRS).values())


class PairsFold:
    """What one epoch's facts say of the pairs of units; `deltas` gets what came too late."""

    def __init__(self, opened: Opened, answers: Answers, deltas: Deltas) -> None:
        self._opened, self._answers, self._deltas = opened, answers, deltas
        self._layout = layout(opened)
        self._parts: list[Part] = []

    def rows(self) -> list[Row]:
        """Rows to add, one for each bucket and unit."""
        return summed(self._opened.epoch, self._parts) if self._parts else []

    def add(self, no: int, part: Contribution) -> None:
        """Pairs are enrolled, or known, each in the bucket of its live answer."""
        assert part.metric.own is not None
        kept = self._counts(part.rows) & part.timely(self._due(part.rows, part.metric))
        first = np.full(len(part.rows), NEVER)
        early = part.timely(due_ms(self._opened, self._times(part.rows), settles_ms(self._opened)))
        enrols = early & (part.column == 0)
        first[enrols] = self._times(part.rows)[enrols]
        self._say(no, part, kept, part.column, 1, first)

    def tell(
        self, no: int, part: Contribution, labelled: Labelled, at: Ints,
        columns: Callable[[Truths], Ints],
    ) -> None:  # fmt: skip
        """Labels moved pairs from outcome to outcome."""
        due = self._due(part.rows, part.metric)
        kept = self._counts(part.rows)
        timely = kept & part.timely(due)
        said = (labelled.before, labelled.after)
        before, after = ([sets[k] for k in at.tolist()] for sets in said)
        old, new = columns(until(before, due)), columns(until(after, due))
        nobody = np.full(len(part.rows), NEVER)
        for column, sign in ((old, -1), (new, 1)):
            self._say(no, part, timely & (column != NOTHING), column, sign, nobody)
        counts = timely & (old != new)
        was, now = columns(before), columns(after)
        missed = kept & (was != now) & ~counts
        kinds = [missed & (was == NOTHING), missed & (was != NOTHING), counts & (old == NOTHING)]
        change = np.select(kinds, range(len(CHANGES)), len(CHANGES))
        told = change < len(CHANGES)
        in_panes(
            self._deltas, self._opened.corrected(no), part.metric.horizon_ms, self._answers,
            part.rows[told], change[told], len(CHANGES), freezes=False,
        )  # fmt: skip

    def _counts(self, rows: Ints) -> Bools:
        units = self._answers.column("unit8")
        has_unit = np.array([units[k] is not None for k in rows.tolist()], bool)
        found: Bools = has_unit & (self._times(rows) >= self._opened.opens_ms)
        return found

    def _times(self, rows: Ints) -> Ints:
        return self._answers.ints("event_ms")[rows]

    def _due(self, rows: Ints, metric: Counted) -> Ints:
        assert metric.own is not None
        return due_ms(self._opened, self._times(rows), metric.own.settles_ms)

    def _say(
        self, no: int, part: Contribution, kept: Bools, column: Ints, sign: int, first_ms: Ints
    ) -> None:
        rows = part.rows[kept]
        cells = np.zeros((len(rows), self._layout.width), np.int64)
        place = self._layout.places[no] + part.group[kept] * part.metric.columns + column[kept]
        cells[np.arange(len(rows)), place] = sign
        self._parts.append(
            Part(
                pane_of(self._times(rows), self._opened.grain_ms),
                self._answers.ints("unit8")[rows], np.full(len(rows), PAIRED), first_ms[kept],
                self._answers.ints("slices")[rows], cells,
            )
        )  # fmt: skip


def vectors(opened: Opened, no: int, units: list[Unit], sums: Ints) -> dict[str, Ints]:
    """What these units add to the cells of a metric, by counter: everywhere and by slice.

    Args:
        sums: for each unit what its events within the exposure add up to, shape
            (units, `Layout.width`).
    """
    metric, challengers = opened.metrics[no], len(opened.challengers)
    begin, groups = layout(opened).places[no], metric.groups(challengers)
    end = begin + groups * metric.columns
    counted = sums[:, begin:end].reshape(len(units), challengers, -1, metric.columns)
    salt = f"{opened.salts.rounding}/pair\0{metric.name}"
    uniforms = np.array([drawn(salt, unit) for unit in units])
    masks = np.array([unit.slices for unit in units], np.int64)
    found: dict[str, Ints] = {}
    seen = np.zeros((challengers, 2), np.int64)
    for k in range(challengers):
        enrolled = counted[:, k, :, 0].sum(axis=1)
        seen[k] = enrolled.sum(), counted[:, k][:, :, told(metric)].sum()
        has = enrolled > 0
        if not has.any():
            continue
        stratum, column = _one_of(counted[has, k], uniforms[has])
        for slot in opened.where():
            here = slice(None) if slot == EVERYWHERE else masks[has] >> slot & 1 > 0
            cells = found.setdefault(
                opened.what(no, slot), np.zeros((groups, metric.columns), np.int64)
            )
            group = k * counted.shape[2] + stratum[here]
            np.add.at(cells, (group, np.zeros_like(group)), 1)
            np.add.at(cells, (group, column[here]), column[here] > 0)
    found[opened.pairs_of(no)] = seen
    return {what: cells.ravel() for what, cells in found.items() if cells.any()}


def _one_of(counted: Ints, uniforms: npt.NDArray[np.float64]) -> tuple[Ints, Ints]:
    """(stratum, column) of one pair of each unit; column 0: nothing is known of it.

    Args:
        counted: pairs of each unit by stratum and column, shape (units, strata, columns); the first
            column has all of them.
    """
    whole = counted.copy()
    whole[:, :, 0] -= counted[:, :, 1:].sum(axis=2)
    cumulated = whole.reshape(len(whole), -1).cumsum(axis=1)
    chosen = np.floor(uniforms * cumulated[:, -1]).astype(np.int64)
    place = (cumulated <= chosen[:, None]).sum(axis=1)
    stratum, column = np.divmod(place, counted.shape[2])
    return stratum, column
