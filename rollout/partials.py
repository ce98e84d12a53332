"""What events say of sticky units, as integers that add: rows that `rollout.closer` sums up.

A unit's requests are spread over all partitions, because a request goes where its labels will find
it. So no worker sees a whole unit, and none knows when one was first seen. Each adds what it sees,
by the time of the event, and the closer cuts the unit's exposure out of the sum. A row is

    epoch, bucket of the event's time, unit, arm, first event, its slices, cells

Nothing identifies a row: a batch adds as many as it likes, and nobody reads one to write another.
Cells are the number of answers, then for each metric how many events are known and their sum.

Whether an event enters its bucket is decided by the watermark that it meets: at most the bucket's
end + the time that its outcome may take. So the buckets behind all watermarks are complete.
"""

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from rollout.cells import SETTLES_MS, Opened
from rollout.contributions import in_panes, until
from rollout.counted import Counted, Own
from rollout.epoch_index import Epoch, Epochs
from rollout.losses import NOTHING, of_answers, of_labels
from rollout.standing import Standing
from streams.counters import Deltas
from streams.facts import MISSING, NONE, Facts, Reported, Truth, pane_of, winner

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ANYBODY = -1  # the arm of feedback about a unit: it is said of the unit, whoever answered
PAIRED = -2  # stands for both arms in rows of pairs (`rollout.unit_pairs`)
NEVER = 2**62
CHANGES = ("late", "corrected", "labels")
"""Of labels about sticky units: what came too late, what changed too late, what counted."""


class Row(NamedTuple):
    """A row of the table, in the order of its columns."""

    epoch: int
    bucket_ms: int
    unit8: int
    arm: int
    first_ms: int | None
    slices: int | None
    cells: bytes


class Bad(NamedTuple):
    """A unit that had a bad event of a metric, whichever: the fast way to harm."""

    epoch: int
    metric: int
    unit8: int


class Part(msgspec.Struct):
    """Events of units, one a line: where they belong, and what they add to which cells.

    `first_ms` is NEVER, of an event that enrols nobody.
    """

    bucket_ms: Ints
    unit8: Ints
    arm: Ints
    first_ms: Ints
    slices: Ints
    cells: Ints


class _Told(msgspec.Struct):
    """What labels say of requests: when it counts, whether it is known, and what it adds."""

    times: Ints
    known: Bools
    amounts: Ints

    @property
    def codes(self) -> Ints:
        return np.where(self.known, 1 + self.amounts, 0)


def width(opened: Opened) -> int:
    return 1 + 2 * len(opened.metrics)


class UnitFold:
    """What one epoch's facts say of its sticky units; `deltas` gets what came too late."""

    def __init__(
        self, facts: Facts, epoch: Epoch, standing: Standing, positive: int | None, deltas: Deltas
    ) -> None:
        self._facts, self._answers, self._deltas = facts, facts.answers, deltas
        self._epoch, self._opened, self._standing = epoch, epoch.opened, standing
        self._positive = positive
        self._parts: list[Part] = []
        self.bad: list[Bad] = []

    def rows(self) -> list[Row]:
        """Rows to add, one for each bucket, unit and arm."""
        self._answered()
        for no, metric in enumerate(self._opened.metrics):
            own = self._opened.owned.get(no)
            if own is not None and metric.label_source is not None:
                self._labelled(no, metric, own)
        return summed(self._opened.epoch, self._parts) if self._parts else []

    def _answered(self) -> None:
        """New answers enrol their units, and what they tell of themselves is known."""
        answered, standing, opened = self._facts.answered, self._standing, self._opened
        kept = standing.units(answered.row) & standing.eligible(answered.row)
        times = self._answers.ints("event_ms")[answered.row]
        kept &= (times >= opened.opens_ms) & (answered.watermark_ms <= self._due(times, SETTLES_MS))
        rows = answered.row[kept]
        if not len(rows):
            return
        cells = np.zeros((len(rows), width(opened)), np.int64)
        cells[:, 0] = 1
        for no, own in opened.owned.items():
            metric = opened.metrics[no]
            if metric.label_source is None:
                cells[:, 1 + 2 * no] = 1
                cells[:, 2 + 2 * no] = self._told(metric, own, rows)
                self._bad(no, metric, rows[cells[:, 2 + 2 * no] > 0])
        times = times[kept]
        self._add(rows, times, times, cells)

    def _told(self, metric: Counted, own: Own, rows: Ints) -> Ints:
        """What each answer adds: whether it is bad, or its latency; none is the longest."""
        if metric.loss == "errors" or metric.thresholds is not None:
            is_challenger = self._standing.arm[rows] > 0
            return of_answers(self._opened, metric, self._answers, rows, is_challenger) - 1
        assert metric.buckets is not None
        latency = self._answers.ints("latency_us")[rows] / 1000.0
        latency[latency < 0] = np.inf
        return steps(np.minimum(latency, metric.buckets.cap), own)

    def _labelled(self, no: int, metric: Counted, own: Own) -> None:
        """Labels moved what is known of requests, each in the bucket that it counts in."""
        labelled, sources = self._facts.labelled, self._facts.naming.sources
        named = [sources.get(n) == metric.label_source for n in labelled.source_no.tolist()]
        at = np.array(named, bool).nonzero()[0]
        at = at[self._standing.units(labelled.row[at])]
        if not len(at):
            return
        rows, met = labelled.row[at], labelled.watermark_ms[at]
        before, after = (
            [said[k] for k in at.tolist()] for said in (labelled.before, labelled.after)
        )
        said = (labelled.before, labelled.after)
        before, after = ([sets[k] for k in at.tolist()] for sets in said)
        if metric.source == "feedback":
            old, new = was, now = [_fed(own, sets) for sets in (before, after)]
        else:
            due = self._due(self._answers.ints("event_ms")[rows], own.settles_ms)
            cut = (until(before, due), until(after, due))
            old, new = (self._judged(metric, own, rows, sets) for sets in cut)
            was, now = (self._judged(metric, own, rows, sets) for sets in (before, after))
        timely = np.ones(len(rows), bool)
        for told in (old, new):
            timely &= ~told.known | (met <= self._due(told.times, own.settles_ms))
        for told, sign in ((old, -1), (new, 1)):
            kept = timely & told.known
            cells = np.zeros((int(kept.sum()), width(self._opened)), np.int64)
            cells[:, 1 + 2 * no], cells[:, 2 + 2 * no] = sign, sign * told.amounts[kept]
            self._add(rows[kept], told.times[kept], np.full(len(cells), NEVER), cells)
        self._bad(no, metric, rows[new.known & (new.amounts > 0)])
        counts = timely & (old.codes != new.codes)
        missed = (was.codes != now.codes) & ~counts
        kinds = [missed & ~was.known, missed & was.known, counts & ~old.known]
        column = np.select(kinds, range(len(CHANGES)), len(CHANGES))
        kept = column < len(CHANGES)
        in_panes(
            self._deltas, self._opened.corrected(no), metric.horizon_ms, self._answers,
            rows[kept], column[kept], len(CHANGES), freezes=False,
        )  # fmt: skip

    def _judged(
        self, metric: Counted, own: Own, rows: Ints, sets: list[tuple[Truth, ...]]
    ) -> _Told:
        column = of_labels(self._opened, metric, self._answers, rows, sets, self._positive)
        amounts = np.concatenate([[0], steps(np.array(own.levels), own)])
        times = self._answers.ints("event_ms")[rows]
        return _Told(times, column != NOTHING, amounts[column])

    def _bad(self, no: int, metric: Counted, rows: Ints) -> None:
        if metric.crash is not None:
            units = np.unique(self._answers.ints("unit8")[rows]).tolist()
            self.bad += [Bad(self._opened.epoch, no, unit) for unit in units]

    def _add(self, rows: Ints, times: Ints, first_ms: Ints, cells: Ints) -> None:
        answers = self._answers
        self._parts.append(
            Part(
                pane_of(times, self._opened.grain_ms), answers.ints("unit8")[rows],
                self._standing.arm[rows], first_ms, answers.ints("slices")[rows], cells,
            )
        )  # fmt: skip

    def _due(self, times: Ints, settles_ms: int) -> Ints:
        return due_ms(self._opened, times, settles_ms)


def due_ms(opened: Opened, times: Ints, settles_ms: int) -> Ints:
    """The last watermark at which an event may still tell what happened then."""
    return pane_of(times, opened.grain_ms) + opened.grain_ms + settles_ms


def reported(facts: Facts, epochs: Epochs) -> list[Row]:
    """Feedback about a unit counts when it was given, whatever was answered."""
    parts: dict[int, list[Part]] = {}
    for fact in facts.reported:
        for epoch in epochs.in_time.get((fact.model_no, fact.route_no), ()):
            opened = epoch.opened
            if not opened.opens_ms <= fact.event_ms < epoch.closes_ms:
                continue
            no, time = epoch.feedback.get(fact.name_no), np.array([fact.event_ms])
            if no is not None and fact.watermark_ms <= int(due_ms(opened, time, SETTLES_MS)[0]):
                parts.setdefault(opened.epoch, []).append(_about(opened, no, fact))
            break
    return [row for number, each in parts.items() for row in summed(number, each)]


def _about(opened: Opened, no: int, fact: Reported) -> Part:
    own = opened.owned[no]
    value = 1.0 if own.stat == "any" or fact.value is None else fact.value
    cells = np.zeros((1, width(opened)), np.int64)
    cells[0, 1 + 2 * no] = fact.sign
    cells[0, 2 + 2 * no] = fact.sign * int(steps(np.array([value]), own)[0])
    bucket = pane_of(np.array([fact.event_ms]), opened.grain_ms)
    of, anybody, never, none = (np.array([n]) for n in (fact.unit8, ANYBODY, NEVER, 0))
    return Part(bucket, of, anybody, never, none, cells)


def _fed(own: Own, sets: list[tuple[Truth, ...]]) -> _Told:
    """Feedback about requests counts when it was given."""
    won = [winner(truths) if truths else None for truths in sets]
    times = np.array([0 if w is None else w.observed_ms for w in won], np.int64)
    codes = np.array([NONE if w is None else w.label_code for w in won], np.int64)
    values = np.array([0.0 if w is None or w.value is None else w.value for w in won])
    known = (codes != NONE) & (codes != MISSING)
    amounts = known.astype(np.int64) if own.stat == "any" else steps(values, own)
    return _Told(times, known, amounts)


def steps(values: npt.NDArray[np.float64], own: Own) -> Ints:
    """Values as whole numbers that add."""
    limit = 2.0**40  # of one event: a sum of a million of them is a whole number still
    return np.rint(np.clip(values * own.scale, -limit, limit)).astype(np.int64)


def summed(epoch: int, parts: list[Part]) -> list[Row]:
    """These events by bucket, unit and arm; the first of each is the earliest of them."""
    names = ("bucket_ms", "unit8", "arm", "first_ms", "slices", "cells")
    bucket, unit, arm, first, slices, cells = (
        np.concatenate([getattr(part, name) for part in parts]) for name in names
    )
    order = np.lexsort((slices, first, arm, bucket, unit))
    bucket, unit, arm, first, slices, cells = (
        column[order] for column in (bucket, unit, arm, first, slices, cells)
    )
    new = np.ones(len(unit), bool)
    new[1:] = (np.diff(unit) != 0) | (np.diff(bucket) != 0) | (np.diff(arm) != 0)
    at = new.nonzero()[0]
    added = np.add.reduceat(cells, at, axis=0).astype("<i8")
    columns = (column[at].tolist() for column in (bucket, unit, arm, first, slices))
    return [
        Row(epoch, b, u, a, None if f == NEVER else f, None if f == NEVER else s, row.tobytes())
        for b, u, a, f, s, row in zip(*columns, added, strict=True)
        if row.any()
    ]
