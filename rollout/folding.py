"""The facts of a batch that belong to one epoch, metric by metric."""

import numpy as np
import numpy.typing as npt

from rollout import audits, pairing, partials
from rollout.cells import EVERYWHERE, SETTLES_MS, SPLIT
from rollout.contributions import Contribution, Truths, add, due_ms, in_panes, tell
from rollout.counted import HALVES, Counted, Side
from rollout.epoch_index import Epoch, Epochs
from rollout.losses import NOTHING, disagree, of_answers, of_labels, of_pairs, timed
from rollout.partials import Bad, Row
from rollout.proposals import Asked, asked
from rollout.standing import Standing
from rollout.unit_pairs import PairsFold
from streams.counters import Deltas
from streams.facts import AssignedCounts, Facts
from streams.models import pane_width_ms

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Fold:
    """What one epoch's facts add to `deltas`; what they say of sticky units is `rows`."""

    def __init__(self, facts: Facts, epoch: Epoch, named: Bools, deltas: Deltas) -> None:
        self._facts, self._answers, self._deltas = facts, facts.answers, deltas
        self._epoch, self._opened = epoch, epoch.opened
        self._standing = Standing(facts.answers, epoch, named, facts.points)
        answered = facts.answered
        is_unit = self._standing.units(answered.row)
        self._units, self._met = answered.row[is_unit], answered.watermark_ms[is_unit]
        self._groups = self._standing.groups(self._units)
        paired = facts.paired
        self._pairs = pairing.sided(
            self._standing, paired.row, paired.live, np.arange(len(paired.row))
        )
        positive, labels = self._opened.positive, facts.naming.labels.get(epoch.model_no, {})
        self._positive = None if positive is None else labels.get(positive)
        self._unit_pairs = PairsFold(self._opened, facts.answers, deltas)

    def collect(self) -> None:
        self._split()
        for no, metric in enumerate(self._opened.metrics):
            if metric.side is Side.PAIRS:
                self._count_pairs(no, metric)
            elif metric.own is None and metric.loss != "missing":
                self._count_units(no, metric)
            is_counted = metric.own is None or metric.side is Side.PAIRS
            if is_counted and metric.label_source is not None:
                self._count_labels(no, metric)

    def units(self) -> tuple[list[Row], list[Bad]]:
        """What the same facts say of sticky units, once they are collected."""
        pairs = self._unit_pairs.rows()
        if not self._opened.owned:
            return pairs, []
        fold = partials.UnitFold(
            self._facts, self._epoch, self._standing, self._positive, self._deltas
        )
        return [*pairs, *fold.rows()], fold.bad

    def asked(self) -> list[Asked]:
        """What people are asked about these answers."""
        return asked(self._facts, self._epoch, self._standing)

    def _split(self) -> None:
        """How many units each arm has, and how many answers are evidence of nothing."""
        standing, answered = self._standing, self._facts.answered
        kinds = (standing.astray, standing.stale, standing.conflicts, standing.unchecked)
        for column, kind in enumerate(kinds):
            kept = kind[answered.row]
            rows = answered.row[kept]
            self._in_split(rows, np.full(len(rows), column), answered.watermark_ms[kept])
        self._in_split(self._units, len(SPLIT) + standing.arm[self._units], self._met)

    def _in_split(self, rows: Ints, columns: Ints, met: Ints) -> None:
        timely = met <= due_ms(self._answers.ints("event_ms")[rows], SETTLES_MS)
        in_panes(
            self._deltas, self._opened.split, SETTLES_MS, self._answers, rows[timely],
            columns[timely], len(SPLIT) + len(self._epoch.arms),
        )  # fmt: skip

    def _count_units(self, no: int, metric: Counted) -> None:
        """New units are enrolled, and what their answers tell of themselves is known."""
        rows, columns = self._units, [np.zeros(len(self._units), np.int64)]
        if metric.audited:
            nobody, waiting, looked = audits.columns(self._opened, metric, self._answers, rows)
            columns.append(np.where(looked, waiting, nobody))
        elif metric.label_source is None:
            is_challenger = self._standing.arm[rows] > 0
            columns.append(of_answers(self._opened, metric, self._answers, rows, is_challenger))
        for column in columns:
            self._add(no, Contribution(metric, rows, self._groups, column, self._met))

    def _count_pairs(self, no: int, metric: Counted) -> None:
        """New pairs are enrolled, and known as far as their answers tell."""
        opened, pairs = self._opened, self._pairs
        is_expected = opened.expects_pairs and metric.source in ("pair", "prediction")
        if is_expected:
            self._expect(no, metric)
            pairs = pairs.where(pairs.live == pairs.champion)
        elif metric.loss == "latency":
            pairs = pairs.where(timed(self._answers, pairs.champion, pairs.challenger))
        group, looked = pairing.strata_of(self._facts, self._epoch, self._standing, metric, pairs)
        met = self._facts.paired.watermark_ms[pairs.of]
        whole = pairing.complete_ms(self._facts, pairs)
        if not is_expected:
            zeros = np.zeros(len(met), np.int64)
            self._add(no, Contribution(metric, pairs.live, group, zeros, met, whole))
        column, known = self._compared(metric, pairs), np.ones(len(met), bool)
        if metric.label_source is not None:
            known = ~looked
        each = (pairs.live, group, column, met, whole)
        self._add(no, Contribution(metric, *(values[known] for values in each)))

    def _compared(self, metric: Counted, pairs: pairing.Pairs) -> Ints:
        """The outcome of each pair by its answers alone; of one that waits for labels: unseen."""
        if metric.label_source is not None:
            return np.full(len(pairs.live), metric.unseen)
        right = np.ones(len(pairs.live), np.int64)
        if metric.source == "pair":
            differ = disagree(self._answers, pairs.challenger, pairs.champion)
            return of_pairs(right, right + differ)
        champion, challenger = (
            of_answers(self._opened, metric, self._answers, rows, np.full(len(rows), is_challenger))
            for rows, is_challenger in ((pairs.champion, False), (pairs.challenger, True))
        )
        return of_pairs(champion, challenger)

    def _expect(self, no: int, metric: Counted) -> None:
        """Every live answer of the champion makes a pair with each challenger, or its failure."""
        answered, standing = self._facts.answered, self._standing
        kept = (standing.in_pairs & (standing.version == 0))[answered.row]
        rows, met = answered.row[kept], answered.watermark_ms[kept]
        zeros = np.zeros(len(rows), np.int64)
        for k in range(len(self._opened.challengers)):
            self._add(no, Contribution(metric, rows, zeros + k, zeros, met))

    def _count_labels(self, no: int, metric: Counted) -> None:
        """Labels tell of units, or of pairs."""
        labelled, sources = self._facts.labelled, self._facts.naming.sources
        named = [sources.get(n) == metric.label_source for n in labelled.source_no.tolist()]
        at = np.array(named, bool).nonzero()[0]
        if not len(at):
            return
        if metric.side is Side.PAIRS:
            pairs = pairing.labelled(self._facts, self._standing, at)
            group, looked = pairing.strata_of(
                self._facts, self._epoch, self._standing, metric, pairs
            )
            pairs, group = pairs.where(looked), group[looked]
            rows, at = pairs.live, pairs.of
            judged: tuple[Ints, ...] = (pairs.champion, pairs.challenger)
            whole: Ints | None = pairing.complete_ms(self._facts, pairs)
        else:
            at = at[self._standing.units(labelled.row[at])]
            rows = labelled.row[at]
            group, judged, whole = self._standing.groups(rows), (rows,), None
        met, waits = labelled.watermark_ms[at], np.zeros(len(at), np.int64)
        part = Contribution(metric, rows, group, waits, met, whole)
        if metric.audited:
            self._count_audits(no, part, at)
            return

        def columns(truths: Truths) -> Ints:
            found = [
                of_labels(self._opened, metric, self._answers, each, truths, self._positive)
                for each in judged
            ]
            return found[0] if len(found) == 1 else of_pairs(found[0], found[1])

        if metric.own is not None:
            self._unit_pairs.tell(no, part, labelled, at, columns)
            return
        tell(self._deltas, self._opened, no, part, self._answers, labelled, at, columns)

    def _count_audits(self, no: int, part: Contribution, at: Ints) -> None:
        """Labels tell of single answers that are sampled; these waited for one."""
        metric, answers = part.metric, self._answers
        first, waiting, looked = audits.columns(self._opened, metric, answers, part.rows)
        kept = Contribution(
            metric, part.rows[looked], part.group[looked], waiting[looked],
            part.watermark_ms[looked],
        )  # fmt: skip

        def columns(truths: Truths) -> Ints:
            found = of_labels(self._opened, metric, answers, kept.rows, truths, self._positive)
            return np.where(found != NOTHING, first[looked] + found, NOTHING)

        labelled = self._facts.labelled
        tell(self._deltas, self._opened, no, kept, answers, labelled, at[looked], columns)

    def _add(self, no: int, part: Contribution) -> None:
        if part.metric.own is not None:
            self._unit_pairs.add(no, part)
        else:
            add(self._deltas, self._opened, no, part, self._answers)


def assigned(facts: Facts, epochs: Epochs, deltas: Deltas) -> None:
    """What clients assigned, and how much of it was answered, is counted by arm."""
    for fact in facts.assigned:
        epoch = epochs.by_route.get((fact.model_no, fact.route_no, fact.route_version))
        if epoch is None or fact.arm_no not in epoch.arms or fact.minute_ms >= epoch.closes_ms:
            continue
        opened, arm = epoch.opened, epoch.arms.index(fact.arm_no)
        if opened.scope != ():  # of assigned requests nobody knows which were in scope
            continue
        _assign(opened.assigned, (len(epoch.arms), 2), arm, SETTLES_MS, fact, deltas)
        for no, metric in enumerate(opened.metrics):
            if metric.loss == "missing":
                shape = (metric.groups(len(opened.challengers)), metric.columns)
                group = 0 if arm == 0 else HALVES + arm - 1
                what = opened.what(no, EVERYWHERE)
                _assign(what, shape, group, metric.horizon_ms, fact, deltas)


def _assign(
    what: str, shape: tuple[int, int], group: int, horizon_ms: int, fact: AssignedCounts,
    deltas: Deltas,
) -> None:  # fmt: skip
    due = int(due_ms(np.array([fact.minute_ms]), horizon_ms)[0])
    if fact.watermark_ms > due:
        return
    cells = np.zeros(shape, np.int64)
    cells[group, :2] = fact.assigned, fact.answered
    pane = due - horizon_ms - pane_width_ms(horizon_ms)
    deltas.add((what, pane, fact.partition), cells.ravel(), due)
