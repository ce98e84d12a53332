"""From what rows say to deltas: by slice, pane and partition, in time or late."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from rollout.cells import EVERYWHERE, Opened
from rollout.counted import Counted
from rollout.losses import NOTHING
from streams.answer_rows import Answers
from streams.counters import Deltas, in_time, tally
from streams.facts import Labelled, Truth, pane_of
from streams.models import pane_width_ms
from streams.series import grouped

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Truths = Sequence[tuple[Truth, ...]]


class Contribution(msgspec.Struct):
    """Rows, the cell that each adds to, and the watermark that it met. Column 0: enrolled.

    What came of a row at a later time than its own (`time_ms`, of the other answer of a pair) has
    to be no later than its pane is due: so order within the lateness changes nothing.
    """

    metric: Counted
    rows: Ints
    group: Ints
    column: Ints
    watermark_ms: Ints
    time_ms: Ints | None = None

    def timely(self, due: Ints) -> Bools:
        found = in_time(self.watermark_ms, due)
        return found if self.time_ms is None else found & (self.time_ms <= due)


def add(deltas: Deltas, opened: Opened, no: int, part: Contribution, answers: Answers) -> None:
    """What came in time is in the cells of each slice; who was enrolled late is counted apart."""
    timely = part.timely(_due(part.metric, answers, part.rows))
    _in_slices(deltas, opened, no, part, answers, timely, np.ones(len(part.rows), np.int64))
    late = ~timely & (part.column == 0)
    _apart(deltas, opened, no, part.metric, answers, part.rows[late], part.column[late])


def tell(
    deltas: Deltas, opened: Opened, no: int, part: Contribution, answers: Answers,
    labelled: Labelled, at: Ints, columns: Callable[[Truths], Ints],
) -> None:  # fmt: skip
    """Labels moved rows from outcome to outcome: in the cells, or beside panes that are frozen.

    Args:
        part: the labelled rows; its column is where one without a label stands, 0 for nowhere.
        at: which labels tell of each of them.
        columns: the outcome of each row under its labels, NOTHING for none.
    """
    due = _due(part.metric, answers, part.rows)
    timely = part.timely(due)
    before, after = ([said[k] for k in at.tolist()] for said in (labelled.before, labelled.after))
    old, new = columns(until(before, due)), columns(until(after, due))
    for told, sign in ((old, -1), (new, 1)):
        column = np.where(told != NOTHING, told, part.column)
        moved = msgspec.structs.replace(part, column=column)
        kept = timely & (column != NOTHING)
        weights = np.full(len(column), sign, np.int64)
        _in_slices(deltas, opened, no, moved, answers, kept, weights)
    was, now = columns(before), columns(after)
    missed = (was != now) & ~(timely & (old != new))
    moves = was * part.metric.columns + now
    _apart(deltas, opened, no, part.metric, answers, part.rows[missed], moves[missed])


def in_panes(
    deltas: Deltas, what: str, horizon_ms: int, answers: Answers, rows: Ints, cells: Ints,
    width: int, *, weights: Ints | None = None, freezes: bool = True,
) -> None:  # fmt: skip
    """Each row adds to its cell of `what`, in the pane of its time and partition."""
    if not len(rows):
        return
    wide = pane_width_ms(horizon_ms)
    panes = pane_of(answers.ints("event_ms")[rows], wide)
    groups = grouped(np.zeros(len(rows), np.int64), panes, answers.ints("partition")[rows])
    found = tally(groups.of, cells, width, count=len(groups.keys), weights=weights)
    for (_, pane, partition), row in zip(groups.keys, found, strict=True):
        if row.any():
            due = pane + wide + horizon_ms if freezes else None
            deltas.add((what, pane, partition), row, due)


def due_ms(times_ms: Ints, horizon_ms: int) -> Ints:
    """When the pane of each time freezes."""
    width = pane_width_ms(horizon_ms)
    return pane_of(times_ms, width) + width + horizon_ms


def _due(metric: Counted, answers: Answers, rows: Ints) -> Ints:
    return due_ms(answers.ints("event_ms")[rows], metric.horizon_ms)


def _in_slices(
    deltas: Deltas, opened: Opened, no: int, part: Contribution, answers: Answers,
    kept: Bools, weights: Ints,
) -> None:  # fmt: skip
    metric = part.metric
    width = metric.groups(len(opened.challengers)) * metric.columns
    masks = answers.ints("slices")[part.rows]
    cells = part.group * metric.columns + part.column
    for slot in opened.where():
        here = kept if slot == EVERYWHERE else kept & (masks >> slot & 1 > 0)
        in_panes(
            deltas, opened.what(no, slot), metric.horizon_ms, answers, part.rows[here],
            cells[here], width, weights=weights[here],
        )  # fmt: skip


def _apart(
    deltas: Deltas, opened: Opened, no: int, metric: Counted, answers: Answers, rows: Ints,
    moves: Ints,
) -> None:  # fmt: skip
    width = metric.columns**2
    in_panes(
        deltas, opened.corrected(no), metric.horizon_ms, answers, rows, moves, width, freezes=False
    )


def until(sets: list[tuple[Truth, ...]], due: Ints) -> list[tuple[Truth, ...]]:
    """Of each set the labels that were observed by then."""
    return [
        tuple(truth for truth in truths if truth.observed_ms <= cutoff) if truths else ()
        for truths, cutoff in zip(sets, due.tolist(), strict=True)
    ]
