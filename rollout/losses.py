"""What an answer, a label or a pair says of a metric: the outcome's column, row by row."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evidence.names import Pair
from rollout.cells import Opened, point
from rollout.counted import Counted
from streams.answer_rows import Answers
from streams.facts import ERROR, MISSING, NONE, OTHER, VALUE, Truth, winner

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NOTHING = 0  # the column of what is not known yet; outcome k stands in column 1 + k
_SAME_VALUE = 1e-4


def of_answers(
    opened: Opened, metric: Counted, answers: Answers, rows: Ints, is_challenger: Bools
) -> Ints:
    """The column of each answer, of a metric that answers themselves tell.

    An answer without a latency is slower than any threshold: a time-out has none. Of pairs those
    are left out in which nobody measured one (`timed`).
    """
    if metric.loss == "errors":
        return 1 + (answers.ints("flags")[rows] & ERROR > 0)
    latency = answers.ints("latency_us")[rows] / 1000.0
    latency[latency < 0] = np.inf
    if metric.thresholds is not None:
        champion, challenger = metric.thresholds
        return 1 + (latency > np.where(is_challenger, challenger, champion)).astype(np.int64)
    return 1 + _rounded(opened, metric, answers, rows, latency)


def timed(answers: Answers, *sides: Ints) -> Bools:
    """Whether each pair was measured: both its answers have a latency, or failed.

    Whoever runs a candidate in batches times some of its answers, chosen before they are given.
    """
    known = (answers.ints("latency_us") >= 0) | (answers.ints("flags") & ERROR > 0)
    found: Bools = np.logical_and.reduce([known[rows] for rows in sides])
    return found


def of_labels(
    opened: Opened, metric: Counted, answers: Answers, rows: Ints,
    truths: Sequence[tuple[Truth, ...]], positive: int | None,
) -> Ints:  # fmt: skip
    """The column of each row under its labels, NOTHING where these say nothing of the metric."""
    won = [winner(truth) if truth else None for truth in truths]
    codes = np.array([NONE if w is None else w.label_code for w in won], np.int64)
    if metric.source != "feedback":
        return _judged(metric, answers.ints("label_code")[rows], codes, positive)
    known = (codes != NONE) & (codes != MISSING)
    if metric.buckets is None:
        return np.where(known, 2, NOTHING)
    values = np.array([0.0 if w is None or w.value is None else w.value for w in won])
    columns = 1 + _rounded(opened, metric, answers, rows, values)
    return np.where(codes == VALUE, columns, NOTHING)


def _judged(metric: Counted, answer: Ints, truth: Ints, positive: int | None) -> Ints:
    """An answer held against the truth: an error is wrong, whatever would have been right."""
    known = (truth > 0) | ((truth == OTHER) & (answer != OTHER))
    known &= (answer > 0) | (answer == OTHER) | (answer == NONE)
    miss = (truth == positive) & (answer != positive)
    false_alarm = (truth != positive) & (answer == positive)
    match metric.loss:
        case "misses":
            level = miss.astype(np.int64)
        case "false_alarms":
            level = false_alarm.astype(np.int64)
        case "cost":
            level = false_alarm + 2 * miss
        case _:
            level = (answer != truth).astype(np.int64)
    return np.where(known, 1 + level, NOTHING)


def of_pairs(champion: Ints, challenger: Ints) -> Ints:
    """The column of each pair from those of its answers; NOTHING while either is unknown."""
    wrong_a, wrong_b = champion > 1, challenger > 1
    found = np.select(
        [wrong_a & wrong_b, wrong_b, wrong_a],
        [Pair.BOTH_WRONG, Pair.CHALLENGER_WRONG, Pair.CHAMPION_WRONG],
        Pair.EQUAL,
    )
    return np.where((champion > 0) & (challenger > 0), 1 + found, NOTHING)


def disagree(answers: Answers, left: Ints, right: Ints) -> Bools:
    """Whether two answers decide otherwise; an error differs from every class."""
    codes = answers.ints("label_code")
    apart = codes[left] != codes[right]
    values = answers.reals("value")
    real = (codes[left] == VALUE) & ~apart
    far: Bools = apart | (real & ~(np.abs(values[left] - values[right]) < _SAME_VALUE))
    return far


def strata(opened: Opened, metric: Counted, slices: Ints, differ: Bools) -> Ints:
    """The stratum of each pair: agreements, disagreements, and both again for protected slices."""
    found = np.zeros(len(slices), np.int64)
    if len(metric.q) > 1:
        found += differ
    if len(metric.q) > 2:
        protected = sum(1 << part.slot for part in opened.slices if part.protected)
        found += 2 * (slices & protected > 0)
    return found


def sampled(opened: Opened, metric: Counted, pids: Sequence[bytes], stratum: Ints) -> Bools:
    """Whether each pair is one of those that are looked at: by its permanent random number."""
    if metric.source != "audit":
        return np.ones(len(pids), bool)
    numbers = np.array([point(opened.salts.audit, pid) for pid in pids])
    drawn: Bools = numbers < np.array(metric.q)[stratum]
    return drawn


def _rounded(
    opened: Opened, metric: Counted, answers: Answers, rows: Ints, values: npt.NDArray[np.float64]
) -> Ints:
    """The level of each value, rounded without bias by a hash of the request."""
    assert metric.buckets is not None
    pids, salt = answers.column("pid16"), f"{opened.salts.rounding}\0{metric.name}"
    uniforms = [point(salt, pids[k]) for k in rows.tolist()]
    capped = np.minimum(values, metric.buckets.cap)
    return metric.buckets.levels().rounded(capped, uniforms)
