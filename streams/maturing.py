"""The frozen set: how much of what was answered is labelled once the horizon has passed.

For every source with a horizon (`matured/...`): answered, labelled and declared missing, in panes
that freeze at that age, and (`late/...`) what came too late for them.
"""

import msgspec
import numpy as np
import numpy.typing as npt

from streams.counters import Deltas, in_time, tally
from streams.facts import MISSING, NONE, Facts, pane_of
from streams.models import Declaration, pane_width_ms
from streams.series import Groups, Series, add, declared, grouped

Ints = npt.NDArray[np.int64]

MATURED_CELLS = ("answered", "labelled", "declared_missing")
STATES = ("none", "labelled", "missing")  # of a row and source
LATE_CELLS = ("late_answers", *(f"{a}_to_{b}" for a in STATES for b in STATES))


def mature(facts: Facts, series: Series, deltas: Deltas) -> None:
    answered, labelled = facts.answered, facts.labelled
    for at, _, declaration in declared(facts, answered.row):
        for source in declaration.horizons:
            _mature_answers(
                facts, series, deltas, answered.row[at], answered.watermark_ms[at], declaration,
                source,
            )  # fmt: skip
    if not len(labelled.row):
        return
    sources = np.array([facts.naming.sources.get(no, "") for no in labelled.source_no.tolist()])
    for at, _, declaration in declared(facts, labelled.row):
        for source in declaration.horizons:
            mine = at[sources[at] == source]
            if len(mine):
                _mature_labels(facts, series, deltas, mine, declaration, source)


class _Panes(msgspec.Struct):
    """Where rows mature: their panes, when these are due, and the groups they form."""

    groups: Groups
    due_ms: Ints
    due_after_ms: int
    suffix: str


def _panes(
    facts: Facts, series: Series, rows: Ints, declaration: Declaration, source: str
) -> _Panes:
    horizon = declaration.horizon_ms(source)
    assert horizon is not None
    width = pane_width_ms(horizon)
    panes = pane_of(facts.answers.ints("event_ms")[rows], width)
    groups = grouped(series.of[rows], panes, facts.answers.ints("partition")[rows])
    return _Panes(groups, panes + width + horizon, width + horizon, f"/{source}/{horizon}")


def _mature_answers(
    facts: Facts, series: Series, deltas: Deltas, rows: Ints, watermarks: Ints,
    declaration: Declaration, source: str,
) -> None:  # fmt: skip
    panes = _panes(facts, series, rows, declaration, source)
    count = len(panes.groups.keys)
    timely = in_time(watermarks, panes.due_ms)
    cells = np.zeros((count, len(MATURED_CELLS)), np.int64)
    cells[:, 0] = np.bincount(panes.groups.of[timely], minlength=count)
    add(deltas, "matured", series, panes.groups, cells, panes.due_after_ms, panes.suffix)
    if not timely.all():
        late = np.zeros((count, len(LATE_CELLS)), np.int64)
        late[:, 0] = np.bincount(panes.groups.of[~timely], minlength=count)
        add(deltas, "late", series, panes.groups, late, None, panes.suffix)


def _mature_labels(
    facts: Facts, series: Series, deltas: Deltas, at: Ints, declaration: Declaration, source: str
) -> None:
    labelled = facts.labelled
    panes = _panes(facts, series, labelled.row[at], declaration, source)
    count = len(panes.groups.keys)
    part = type(labelled)(
        labelled.row[at],
        labelled.source_no[at],
        labelled.watermark_ms[at],
        [labelled.before[k] for k in at.tolist()],
        [labelled.after[k] for k in at.tolist()],
    )
    timely = in_time(part.watermark_ms, panes.due_ms)
    before, after = (_state(codes) for codes in part.codes_by(panes.due_ms))
    cells = np.zeros((count, len(MATURED_CELLS)), np.int64)
    for state, sign in ((after, 1), (before, -1)):
        counted = timely & (state > 0)
        np.add.at(cells, (panes.groups.of[counted], state[counted]), sign)
    add(deltas, "matured", series, panes.groups, cells, panes.due_after_ms, panes.suffix)
    was, now = (_state(codes) for codes in part.codes())
    missed = (was != now) & ~(timely & (before != after))
    if missed.any():
        moves = 1 + was[missed] * len(STATES) + now[missed]
        late = tally(panes.groups.of[missed], moves, len(LATE_CELLS), count=count)
        add(deltas, "late", series, panes.groups, late, None, panes.suffix)


def _state(codes: Ints) -> Ints:
    """0 nothing, 1 labelled, 2 declared missing: also the cell in MATURED_CELLS."""
    return np.where(codes == NONE, 0, np.where(codes == MISSING, 2, 1)).astype(np.int64)
