"""Why evidence may not be trusted: the split, the labels, or the judge itself is not what it says.

A doubt makes a metric invalid, or all of them; it proves harm of no version.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from evidence.maturity import Maturity, coverage_test
from evidence.results import Side as Direction
from evidence.risks import EventShare
from evidence.sequences import Epoch, log_e, log_e_both
from evidence.shares import log_e_split
from rollout.audits import told
from rollout.cells import ASSIGNED, EVERYWHERE, SPLIT, Opened
from rollout.counted import Counted, Ints, Side
from rollout.looks import Look
from rollout.tested import arms_of, counted, evidence, guardrail, halves, missing_of
from streams.errors import InputError

ALPHA = 0.001  # of each test of the split and of coverage
AT_MOST = 0.01  # of the answers may be astray or stale
SEEN = 100  # answers before a share of them says anything
SURELY = math.log(1000)  # an e-value of the self-check that no luck explains


def of_all(look: Look, epochs: Sequence[Opened]) -> Iterator[str]:
    """Doubts about every metric that compares arms."""
    astray = np.zeros(2, np.int64)
    drawn, shares = [], []
    for epoch in epochs:
        split, arms = split_of(look, epoch)
        astray += [split["misassigned"], split["stale"]]
        units, known = _drawn(look, epoch), _shares(epoch)
        held = [k for k, share in enumerate(known) if share > 1e-12]
        if len(held) > 1 and units[held].sum():
            drawn.append(units[held])
            shares.append([known[k] / sum(known[k] for k in held) for k in held])
        astray_of = int(arms.sum())
        for name, count in (("misassigned", split["misassigned"]), ("stale", split["stale"])):
            seen = astray_of + count
            if seen >= SEEN and count > AT_MOST * seen:
                yield f"epoch {epoch.epoch}: {count} of {seen} answers are {name}"
    if drawn and float(log_e_split(drawn, shares)) >= -math.log(ALPHA):
        yield "the arms do not get the shares that they were assigned"


def units_of(look: Look, epoch: Opened) -> Ints:
    """Units of each arm that are compared, the champion's first."""
    if not epoch.sticky:
        return split_of(look, epoch)[1]
    found = look.vector(epoch.enrolled)
    return found if len(found) else np.zeros(1 + len(epoch.challengers), np.int64)


def _drawn(look: Look, epoch: Opened) -> Ints:
    """Units of each arm that were drawn, answered or not, as far as somebody counted them."""
    answered = units_of(look, epoch)
    assigned = look.vector(epoch.assigned)
    if epoch.sticky or not len(assigned):
        return answered
    found = assigned.reshape(-1, len(ASSIGNED))[:, 0]
    return found if found.sum() > answered.sum() else answered


def _shares(epoch: Opened) -> Sequence[float]:
    """The share of each arm among the units that are compared."""
    if epoch.sticky:
        return epoch.fresh
    shares = [one.share for one in epoch.challengers]
    return [1 - sum(shares), *shares]


def split_of(look: Look, epoch: Opened) -> tuple[dict[str, int], Ints]:
    """(answers that are evidence of nothing, by why; answers of each arm)."""
    width = len(SPLIT) + 1 + len(epoch.challengers)
    vector = look.vector(epoch.split)
    found = vector if len(vector) else np.zeros(width, np.int64)
    return dict(zip(SPLIT, found.tolist(), strict=False)), found[len(SPLIT) :]


def of_metric(
    look: Look, epochs: Sequence[tuple[Opened, int, Counted]], k: int, slot: int
) -> Iterator[str]:
    """Doubts about one metric of challenger `k`: its labels and its coverage."""
    metric = epochs[-1][2]
    if metric.label_source is not None and _maturity(look, epochs, slot).invalid:
        yield "more than 2 % of its labels were corrected after they had counted"
    if metric.source == "prediction" and _exceeds_missing(look, epochs, k):
        yield "more answers are missing than its limit allows"
    covered = [c for c in (_coverage(look, *each, k, slot) for each in epochs) if c is not None]
    if covered and coverage_test(covered, alpha=ALPHA).rejects:
        yield "outcomes go missing more often in one arm than in the other"


def is_known(look: Look, epochs: Sequence[tuple[Opened, int, Counted]], k: int, slot: int) -> bool:
    """Whether any outcome has come where others tell it: labels that never come make all equal."""
    for epoch, no, metric in epochs:
        if metric.label_source is None:
            return True
        if metric.own is not None:  # its cells hold units; their labels are told apart
            if look.vector(epoch.corrected(no))[2:].any():
                return True
            continue
        cells = counted(epoch, metric, look.vector(epoch.what(no, slot)))
        if metric.side is Side.ARMS:
            mine = arms_of(cells, k)
        else:
            strata = len(metric.q)
            mine = cells[k * strata : (k + 1) * strata]
        if mine[:, told(metric)].any():
            return True
    return False


def _maturity(look: Look, epochs: Sequence[tuple[Opened, int, Counted]], slot: int) -> Maturity:
    found = Maturity()
    for epoch, no, metric in epochs:
        cells = counted(epoch, metric, look.vector(epoch.what(no, slot)))
        moves = look.vector(epoch.corrected(no))
        late = corrected = 0
        if len(moves) and metric.own is not None:
            late, corrected, known = (int(count) for count in moves)
            found += Maturity(known, known, 0, late, corrected)
            continue
        if len(moves):
            table = moves.reshape(metric.columns, metric.columns)
            late, corrected = int(table[0, 1:].sum()), int(table[1:].sum())
        enrolled, labelled = int(cells[:, 0].sum()), int(cells[:, told(metric)].sum())
        found += Maturity(enrolled, labelled, max(0, enrolled - labelled), late, corrected)
    return found


def _exceeds_missing(look: Look, epochs: Sequence[tuple[Opened, int, Counted]], k: int) -> bool:
    """Whether more answers are missing than their own limit allows: then the others say little."""
    counts, limit = [], 0.0
    for epoch, _, _ in epochs:
        no = missing_of(epoch)
        if no is None:
            continue
        metric, vector = epoch.metrics[no], look.vector(epoch.what(no, EVERYWHERE))
        test = guardrail(metric, pi=epoch.challengers[k].pi, planned_units=epoch.planned_units)
        try:
            found = evidence(epoch, metric, k, vector)
        except InputError:  # its own verdict says why
            return False
        if found is not None and test is not None:
            counts.append(found)
            limit = test.question.limit
    return bool(counts) and float(log_e(counts, limit, Direction.ABOVE)) >= -math.log(ALPHA)


def _coverage(
    look: Look, epoch: Opened, no: int, metric: Counted, k: int, slot: int
) -> Epoch | None:
    """Units with and without an outcome, by arm; None where being without one is an outcome."""
    pi = epoch.challengers[k].pi
    if metric.side is Side.PAIRS or pi is None or epoch.scope is None:
        return None
    if metric.source == "label":
        cells = arms_of(counted(epoch, metric, look.vector(epoch.what(no, slot))), k)
        there, known = cells[:, 0], cells[:, 1:].sum(axis=1)
    elif metric.source == "prediction" and metric.loss != "missing":
        assigned = look.vector(epoch.assigned)
        if epoch.sticky or not len(assigned):  # clients count requests, and not who is compared
            return None
        if missing_of(epoch) is not None:  # a limit of its own says how much may be missing
            return None
        cells = assigned.reshape(-1, len(ASSIGNED))[[0, 1 + k]]
        there, known = cells[:, 0], cells[:, 1]
    else:
        return None
    return Epoch(EventShare(pi=pi), np.stack([np.maximum(there - known, 0), known]))


def self_check(
    look: Look, epochs: Sequence[tuple[Opened, int, Counted]], slot: int, equal: float | None
) -> float | None:
    """Log e-value against "the champion's two halves are equal"; None where nothing is halved."""
    metric = epochs[-1][2]
    if equal is None or metric.loss == "missing":
        return None
    found = [
        half
        for epoch, no, each in epochs
        if epoch.self_check
        and (half := halves(epoch, each, look.vector(epoch.what(no, slot)))) is not None
    ]
    return float(log_e_both(found, equal)) if found else None
