"""The built-in collector: what the Pipe panel shows, and a frozen set at the model's horizon.

Per minute of event time, model, version, role and arm (`pipe/...`): answers, errors, latency,
pairs, and what outcome labels say of them; it follows corrections. Per model, route version and
arm (`assigned/...`): what clients assigned and got answered. Per minute of the log's clock
(`intake/...`): repeats, conflicts, orphans, dead letters.

Beside it, for every source with a horizon (`matured/...`): answered, labelled and declared
missing, in panes that freeze at that age, and (`late/...`) what came too late for them.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from streams import counters
from streams.counters import Deltas, in_time, tally
from streams.facts import (
    CONFLICT,
    ERROR,
    MISSING,
    NONE,
    SKEWED,
    UNKNOWN_ROUTE,
    Answers,
    Facts,
    pane_of,
)
from streams.models import MINUTE_MS, Declaration, pane_width_ms

Ints = npt.NDArray[np.int64]

CELLS = (
    "answered", "errors", "skewed", "conflicts", "unknown_route", "paired", "disagreed",
    "labelled", "right", "wrong", "false_alarms", "misses", "declared_missing",
)  # fmt: skip
CELL = {name: k for k, name in enumerate(CELLS)}
LATENCY_BUCKETS = 48  # bucket k holds 2^(k/2) <= microseconds < 2^((k+1)/2); the last is open
WIDTH = len(CELLS) + LATENCY_BUCKETS

MATURED_CELLS = ("answered", "labelled", "declared_missing")
STATES = ("none", "labelled", "missing")  # of a row and source
LATE_CELLS = ("late_answers", *(f"{a}_to_{b}" for a in STATES for b in STATES))
ASSIGNED_CELLS = ("assigned", "answered", "dropped")

_FLAG_CELLS = ((ERROR, "errors"), (SKEWED, "skewed"), (CONFLICT, "conflicts"),
               (UNKNOWN_ROUTE, "unknown_route"))  # fmt: skip


class _Series(msgspec.Struct):
    """Rows by model, version, role and arm: `names[of[k]]` is row k's series."""

    names: list[str]
    of: Ints


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
            series = _series(answers)
            _display_answers(facts, series, deltas)
            _display_pairs(facts, series, deltas)
            _display_labels(facts, series, deltas)
            _mature(facts, series, deltas)
        _assigned(facts, deltas)
        _noted(facts, deltas)
        return deltas

    def save(self, connection: Connection, deltas: Deltas) -> None:
        counters.save(connection, deltas)


def _series(answers: Answers) -> _Series:
    packed = (
        answers.ints("model_no") << 34
        | answers.ints("version_no") << 18
        | answers.ints("role") << 16
        | answers.ints("arm_no")
    )
    distinct, of = np.unique(packed, return_inverse=True)
    names = [f"{p >> 34}/{p >> 18 & 0xFFFF}/{p >> 16 & 3}/{p & 0xFFFF}" for p in distinct.tolist()]
    return _Series(names, of.reshape(-1))


class _Groups(msgspec.Struct):
    """Rows that share a series, pane and partition."""

    keys: list[tuple[int, int, int]]  # (series, pane, partition)
    of: Ints


def _groups(series: Ints, panes: Ints, partitions: Ints) -> _Groups:
    columns = np.stack([series, panes, partitions], axis=1)
    order = np.lexsort(columns.T)
    ordered = columns[order]
    starts = np.ones(len(ordered), bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    of = np.empty(len(ordered), np.int64)
    of[order] = np.cumsum(starts) - 1
    return _Groups([(s, p, q) for s, p, q in ordered[starts].tolist()], of)


def _add(
    deltas: Deltas, prefix: str, series: _Series, groups: _Groups, cells: Ints,
    due_after_ms: int | None = None, suffix: str = "",
) -> None:  # fmt: skip
    for (s, pane, partition), row in zip(groups.keys, cells, strict=True):
        if row.any():
            due = None if due_after_ms is None else pane + due_after_ms
            deltas.add((f"{prefix}/{series.names[s]}{suffix}", pane, partition), row, due)


def _display_answers(facts: Facts, series: _Series, deltas: Deltas) -> None:
    rows = facts.answered.row
    answers = facts.answers
    panes = pane_of(answers.ints("event_ms")[rows], MINUTE_MS)
    groups = _groups(series.of[rows], panes, answers.ints("partition")[rows])
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
    _add(deltas, "pipe", series, groups, cells)


def latency_bucket(latency_us: Ints) -> Ints:
    """The bucket of each latency: half a power of two wide."""
    raw = np.floor(2 * np.log2(np.maximum(latency_us, 1))).astype(np.int64)
    bucket: Ints = np.minimum(raw, LATENCY_BUCKETS - 1)
    return bucket


def _display_pairs(facts: Facts, series: _Series, deltas: Deltas) -> None:
    rows, live = facts.paired.row, facts.paired.live
    if not len(rows):
        return
    answers = facts.answers
    codes = answers.ints("label_code")
    groups = _groups(
        series.of[rows],
        pane_of(answers.ints("event_ms")[rows], MINUTE_MS),
        answers.ints("partition")[rows],
    )
    count = len(groups.keys)
    cells = np.zeros((count, WIDTH), np.int64)
    cells[:, CELL["paired"]] = np.bincount(groups.of, minlength=count)
    disagreed = codes[rows] != codes[live]
    cells[:, CELL["disagreed"]] = np.bincount(groups.of[disagreed], minlength=count)
    _add(deltas, "pipe", series, groups, cells)


def _display_labels(facts: Facts, series: _Series, deltas: Deltas) -> None:
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
    groups = _groups(
        series.of[rows],
        pane_of(answers.ints("event_ms")[rows], MINUTE_MS),
        answers.ints("partition")[rows],
    )
    cells = np.zeros((len(groups.keys), WIDTH), np.int64)
    first = CELL["labelled"]
    np.add.at(cells, (groups.of[:, None], np.arange(first, first + delta.shape[1])), delta)
    _add(deltas, "pipe", series, groups, cells)


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
    for at, model_no, declaration in _declared(facts, rows):
        code = facts.naming.positive_code(model_no, declaration)
        if code is not None:
            codes[at] = code
    return codes


def _declared(facts: Facts, rows: Ints) -> Iterator[tuple[Ints, int, Declaration]]:
    """(which of `rows`, model number, declaration) for each declaration in force at their times."""
    models = facts.answers.ints("model_no")[rows]
    times = facts.answers.ints("event_ms")[rows]
    for model_no in np.unique(models).tolist():
        mine = (models == model_no).nonzero()[0]
        revisions = facts.naming.models[model_no]
        whole = revisions.between(int(times[mine].min()), int(times[mine].max()))
        if whole is not None:
            yield mine, model_no, whole
            continue
        held: dict[int, tuple[Declaration, list[int]]] = {}
        for k in mine.tolist():
            declaration = revisions.at(int(times[k]))
            held.setdefault(id(declaration), (declaration, []))[1].append(k)
        for declaration, members in held.values():
            yield np.array(members, np.int64), model_no, declaration


def _mature(facts: Facts, series: _Series, deltas: Deltas) -> None:
    answered, labelled = facts.answered, facts.labelled
    for at, _, declaration in _declared(facts, answered.row):
        for source in declaration.horizons:
            _mature_answers(
                facts, series, deltas, answered.row[at], answered.watermark_ms[at], declaration,
                source,
            )  # fmt: skip
    if not len(labelled.row):
        return
    sources = np.array([facts.naming.sources.get(no, "") for no in labelled.source_no.tolist()])
    for at, _, declaration in _declared(facts, labelled.row):
        for source in declaration.horizons:
            mine = at[sources[at] == source]
            if len(mine):
                _mature_labels(facts, series, deltas, mine, declaration, source)


class _Panes(msgspec.Struct):
    """Where rows mature: their panes, when these are due, and the groups they form."""

    groups: _Groups
    due_ms: Ints
    due_after_ms: int
    suffix: str


def _panes(
    facts: Facts, series: _Series, rows: Ints, declaration: Declaration, source: str
) -> _Panes:
    horizon = declaration.horizon_ms(source)
    assert horizon is not None
    width = pane_width_ms(horizon)
    panes = pane_of(facts.answers.ints("event_ms")[rows], width)
    groups = _groups(series.of[rows], panes, facts.answers.ints("partition")[rows])
    return _Panes(groups, panes + width + horizon, width + horizon, f"/{source}/{horizon}")


def _mature_answers(
    facts: Facts, series: _Series, deltas: Deltas, rows: Ints, watermarks: Ints,
    declaration: Declaration, source: str,
) -> None:  # fmt: skip
    panes = _panes(facts, series, rows, declaration, source)
    count = len(panes.groups.keys)
    timely = in_time(watermarks, panes.due_ms)
    cells = np.zeros((count, len(MATURED_CELLS)), np.int64)
    cells[:, 0] = np.bincount(panes.groups.of[timely], minlength=count)
    _add(deltas, "matured", series, panes.groups, cells, panes.due_after_ms, panes.suffix)
    if not timely.all():
        late = np.zeros((count, len(LATE_CELLS)), np.int64)
        late[:, 0] = np.bincount(panes.groups.of[~timely], minlength=count)
        _add(deltas, "late", series, panes.groups, late, None, panes.suffix)


def _mature_labels(
    facts: Facts, series: _Series, deltas: Deltas, at: Ints, declaration: Declaration, source: str
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
    _add(deltas, "matured", series, panes.groups, cells, panes.due_after_ms, panes.suffix)
    was, now = (_state(codes) for codes in part.codes())
    missed = (was != now) & ~(timely & (before != after))
    if missed.any():
        moves = 1 + was[missed] * len(STATES) + now[missed]
        late = tally(panes.groups.of[missed], moves, len(LATE_CELLS), count=count)
        _add(deltas, "late", series, panes.groups, late, None, panes.suffix)


def _state(codes: Ints) -> Ints:
    """0 nothing, 1 labelled, 2 declared missing: also the cell in MATURED_CELLS."""
    return np.where(codes == NONE, 0, np.where(codes == MISSING, 2, 1)).astype(np.int64)


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
