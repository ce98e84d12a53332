"""The built-in collector: what the Pipe panel shows, and a frozen set at the model's horizon.

Per minute of event time, model, version, role and arm (`pipe/...`): answers, errors, latency,
pairs, and what outcome labels say of them; it follows corrections. Per model, route version and
arm (`assigned/...`): what clients assigned and got answered. Per minute of the log's clock
(`intake/...`): repeats, conflicts, orphans, dead letters.

The frozen set beside it is `streams.maturing`.
"""

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from streams import counters
from streams.counters import Deltas, tally
from streams.facts import (
    CONFLICT,
    ERROR,
    MISSING,
    NONE,
    SKEWED,
    UNKNOWN_ROUTE,
    Facts,
    pane_of,
)
from streams.maturing import mature
from streams.models import MINUTE_MS
from streams.series import Series, add, declared, grouped, series_of

Ints = npt.NDArray[np.int64]

CELLS = (
    "answered", "errors", "skewed", "conflicts", "unknown_route", "paired", "disagreed",
    "labelled", "right", "wrong", "false_alarms", "misses", "declared_missing",
)  # fmt: skip
# A pair disagrees when its decisions differ; an error differs from every class.
CELL = {name: k for k, name in enumerate(CELLS)}
LATENCY_BUCKETS = 48  # bucket k holds 2^(k/2) <= microseconds < 2^((k+1)/2); the last is open
WIDTH = len(CELLS) + LATENCY_BUCKETS

ASSIGNED_CELLS = ("assigned", "answered", "dropped")

_FLAG_CELLS = ((ERROR, "errors"), (SKEWED, "skewed"), (CONFLICT, "conflicts"),
               (UNKNOWN_ROUTE, "unknown_route"))  # fmt: skip


class Pipe:
    """The built-in collector."""

    name = "pipe"

    def plans(self, connection: Connection) -> None:
        """It needs none but the declarations that facts carry."""

    def collect(self, facts: Facts, plans: None) -> Deltas:  # noqa: ARG002 - see `plans`
        """What these facts add to the display, the frozen panes, and their late counters."""
        deltas = Deltas()
        answers = facts.answers
        if len(answers):
            series = series_of(answers)
            _display_answers(facts, series, deltas)
            _display_pairs(facts, series, deltas)
            _display_labels(facts, series, deltas)
            mature(facts, series, deltas)
        _assigned(facts, deltas)
        _noted(facts, deltas)
        return deltas

    def save(self, connection: Connection, deltas: Deltas) -> None:
        counters.save(connection, deltas)


def _display_answers(facts: Facts, series: Series, deltas: Deltas) -> None:
    rows = facts.answered.row
    answers = facts.answers
    panes = pane_of(answers.ints("event_ms")[rows], MINUTE_MS)
    groups = grouped(series.of[rows], panes, answers.ints("partition")[rows])
    count = len(groups.keys)
    cells = np.zeros((count, WIDTH), np.int64)
    cells[:, CELL["answered"]] = np.bincount(groups.of, minlength=count)
    flags = answers.ints("flags")[rows]
    if flags.any():
        for flag, name in _FLAG_CELLS:
            cells[:, CELL[name]] = np.bincount(groups.of[flags & flag > 0], minlength=count)
    latency = answers.ints("latency_us")[rows]
    timed = latency >= 0
    cells[:, len(CELLS) :] = tally(
        groups.of[timed], latency_bucket(latency[timed]), LATENCY_BUCKETS, count=count
    )
    add(deltas, "pipe", series, groups, cells)


def latency_bucket(latency_us: Ints) -> Ints:
    """The bucket of each latency: half a power of two wide."""
    raw = np.floor(2 * np.log2(np.maximum(latency_us, 1))).astype(np.int64)
    bucket: Ints = np.minimum(raw, LATENCY_BUCKETS - 1)
    return bucket


def _display_pairs(facts: Facts, series: Series, deltas: Deltas) -> None:
    rows, live = facts.paired.row, facts.paired.live
    if not len(rows):
        return
    answers = facts.answers
    codes = answers.ints("label_code")
    groups = grouped(
        series.of[rows],
        pane_of(answers.ints("event_ms")[rows], MINUTE_MS),
        answers.ints("partition")[rows],
    )
    count = len(groups.keys)
    cells = np.zeros((count, WIDTH), np.int64)
    cells[:, CELL["paired"]] = np.bincount(groups.of, minlength=count)
    disagreed = codes[rows] != codes[live]
    cells[:, CELL["disagreed"]] = np.bincount(groups.of[disagreed], minlength=count)
    add(deltas, "pipe", series, groups, cells)


def _display_labels(facts: Facts, series: Series, deltas: Deltas) -> None:
    """Outcome labels, as the difference of what they say after and before."""
    labelled, answers = facts.labelled, facts.answers
    outcome = np.array(
        [facts.naming.sources.get(no) == "outcome" for no in labelled.source_no.tolist()], bool
    )
    if not outcome.any():
        return
    rows = labelled.row[outcome]
    before, after = (codes[outcome] for codes in labelled.codes())
    answer_codes = answers.ints("label_code")[rows]
    positive = _positive_codes(facts, rows)
    delta = _says(answer_codes, after, positive) - _says(answer_codes, before, positive)
    groups = grouped(
        series.of[rows],
        pane_of(answers.ints("event_ms")[rows], MINUTE_MS),
        answers.ints("partition")[rows],
    )
    cells = np.zeros((len(groups.keys), WIDTH), np.int64)
    first = CELL["labelled"]
    np.add.at(cells, (groups.of[:, None], np.arange(first, first + delta.shape[1])), delta)
    add(deltas, "pipe", series, groups, cells)


def _says(answer: Ints, truth: Ints, positive: Ints) -> Ints:
    """Cells labelled .. declared_missing of each row, shape (rows, 6): g(row, truth)."""
    known = (truth != NONE) & (truth != MISSING)
    comparable = (answer > 0) & (truth > 0)
    binary = comparable & (positive > 0)
    return np.stack(
        [
            known,
            comparable & (answer == truth),
            comparable & (answer != truth),
            binary & (answer == positive) & (truth != positive),
            binary & (answer != positive) & (truth == positive),
            truth == MISSING,
        ],
        axis=1,
    ).astype(np.int64)


def _positive_codes(facts: Facts, rows: Ints) -> Ints:
    """The positive class of each row's model at its time; 0 where it has none."""
    codes = np.zeros(len(rows), np.int64)
    for at, model_no, declaration in declared(facts, rows):
        code = facts.naming.positive_code(model_no, declaration)
        if code is not None:
            codes[at] = code
    return codes


def _assigned(facts: Facts, deltas: Deltas) -> None:
    for fact in facts.assigned:
        what = f"assigned/{fact.model_no}/{fact.route_no}/{fact.route_version}/{fact.arm_no}"
        cells = np.array([fact.assigned, fact.answered, fact.dropped], np.int64)
        deltas.add((what, fact.minute_ms, fact.partition), cells)


def _noted(facts: Facts, deltas: Deltas) -> None:
    one = np.ones(1, np.int64)
    for note in facts.noted:
        pane = note.appended_ms - note.appended_ms % MINUTE_MS
        deltas.add((f"intake/{note.what}/{note.model_no}", pane, note.partition), one)
    for report in facts.reported:
        pane = report.event_ms - report.event_ms % MINUTE_MS
        what = f"reported/{report.model_no}/{report.route_no}/{report.name_no}"
        deltas.add((what, pane, report.partition), one * report.sign)
    for code, partition, appended_ms in facts.rejected:
        pane = appended_ms - appended_ms % MINUTE_MS
        deltas.add((f"rejected/{code}", pane, partition), one)
