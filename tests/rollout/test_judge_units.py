"""What periods and first bad events of sticky units prove."""

import numpy as np
import pytest

from evidence.decision import Verdict
from rollout.cells import EVERYWHERE
from rollout.judge import judge, recompute
from rollout.looks import Look
from tests.rollout.sticky import EPOCH

ENROLLED = (10_000, 4_000, 3_000)  # as the growth of the shares says: .5, .2, .15


def cells(name, *bad, period=1):
    """{counter: totals} of a metric: how many units of each arm are at the level 1."""
    no = next(k for k, metric in enumerate(EPOCH.metrics) if metric.name == name)
    metric = EPOCH.metrics[no]
    vector = np.zeros((metric.groups(2), metric.columns), np.int64)
    halves = [(ENROLLED[0] // 2, bad[0] // 2)] * 2
    top = 1 + metric.levels.index(1.0)
    for group, (n, k) in enumerate([*halves, *zip(ENROLLED[1:], bad[1:], strict=True)]):
        vector[group, 0], vector[group, 1], vector[group, top] = n, n - k, k
    return {EPOCH.what(no, EVERYWHERE, period): tuple(vector.ravel().tolist())}


def verdict(*totals, name, peaks=None):
    seen = {EPOCH.enrolled: ENROLLED}
    for each in totals:
        seen |= each
    record = judge(Look(epochs=(EPOCH,), totals=seen, peaks=peaks or {}))
    assert recompute(record) == record
    (found,) = [v for v in record.judged if (v.metric, v.arm, v.slice) == (name, "42", "")]
    return found, record


def test_equal_units_are_safe_by_their_first_period():
    found, record = verdict(cells("errors", 500, 200, 150), name="errors")

    assert found.verdict is Verdict.SAFE
    assert record.units == {"champion": 10_000, "42": 4_000, "43": 3_000}


def test_harm_in_a_later_period_is_harm_and_safety_there_is_none():
    equal, bad = (500, 200, 150), (500, 600, 150)
    later, _ = verdict(cells("errors", *equal), cells("errors", *bad, period=3),
                       cells("errors", *equal, period=2), name="errors")  # fmt: skip
    alone, _ = verdict(cells("errors", 50, 20, 15), name="errors")
    more, _ = verdict(cells("errors", 50, 20, 15), cells("errors", *equal, period=2), name="errors")

    assert later.verdict is Verdict.HARM
    assert more.log_safe == alone.log_safe
    assert more.n == alone.n


@pytest.mark.parametrize(("bad", "harms"), [(25, False), (160, True)])
def test_first_bad_events_alone_are_harm_beyond_the_ratio_and_stay_it(bad, harms):
    first = {EPOCH.first_bad(0): (50, bad, 15)}

    found, record = verdict(first, name="errors")
    after, _ = verdict(name="errors", peaks=record.peaks)

    assert (found.verdict is Verdict.HARM) == harms
    assert (after.verdict is Verdict.HARM) == harms


def test_a_split_of_units_that_is_off_breaks_what_compares_arms():
    found, record = verdict(
        cells("errors", 500, 200, 150), {EPOCH.enrolled: (10_000, 4_700, 3_000)}, name="errors"
    )

    assert record.broken
    assert found.verdict is Verdict.INVALID


def test_units_none_of_whose_answers_was_ever_labelled_are_no_data_whatever_missing_stands_for():
    """`wrong` takes what is missing as wrong: all units are, and so they are equal."""
    no = next(k for k, metric in enumerate(EPOCH.metrics) if metric.name == "wrong")
    all_wrong = cells("wrong", *ENROLLED)

    silent, _ = verdict(all_wrong, name="wrong")
    heard, _ = verdict(all_wrong, {EPOCH.corrected(no): (0, 0, 17_000)}, name="wrong")

    assert silent.verdict is Verdict.NO_DATA
    assert heard.verdict is Verdict.UNDECIDED
