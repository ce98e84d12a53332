"""Audits: what an epoch freezes of them, and what their cells prove; worked out by hand."""

import math

import numpy as np
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from evidence.decision import Verdict
from evidence.names import Form
from rollout.audits import expected, plain, told
from rollout.cells import EVERYWHERE, encoded
from rollout.epochs import Start, opened
from rollout.judge import judge
from rollout.knowledge import reached
from rollout.levels import levels
from rollout.spec import read
from streams.errors import InputError
from tests.rollout import counting
from tests.rollout.test_judge import CANARY, GOOD, SHADOW, look, named, verdict

NO, BLUNDERS = named(CANARY, "blunders")  # q: 1 in the protected slice, 1/2 elsewhere


def arms(champion, challenger):
    """Totals of the columns (none, right, wrong, unresolved) of both strata, for each arm."""
    half = [count // 2 for count in champion]
    rows = [half, [c - h for c, h in zip(champion, half, strict=True)], challenger, [0] * 8]
    return GOOD | {CANARY.what(NO, EVERYWHERE): tuple(n for row in rows for n in (sum(row), *row))}


AS_IT_WAS = replace(SHADOW, metrics=tuple(
    replace(metric, has_unseen=UNSET) for metric in SHADOW.metrics
))  # fmt: skip


def pairs(epoch, name, *strata):
    """Totals of the columns of agreements and of disagreements, of the first challenger."""
    no, metric = named(epoch, name)
    cells = np.zeros((metric.groups(2), metric.columns), np.int64)
    cells[: len(strata)] = strata
    return {epoch.what(no, EVERYWHERE): tuple(cells.ravel().tolist())}


FEW = [0, 950, 50, 0, 2_000, 1_900, 100, 0]  # 5 % of those that were looked at, in both strata


def test_an_epoch_freezes_what_each_audited_answer_stands_for():
    assert BLUNDERS.q == (1.0, 0.5)
    assert BLUNDERS.levels == (0, 0, 1, 0, 0, 0, 2, 0)
    assert BLUNDERS.high == (0, 0, 1, 1, 0, 0, 2, 2)
    assert plain(BLUNDERS).levels == (0, 1)
    assert list(told(BLUNDERS)) == [2, 3, 6, 7]
    assert BLUNDERS.centre == 0.05
    assert BLUNDERS.sd == pytest.approx(math.sqrt(0.05 / 0.5 - 0.05**2))


def test_audits_weigh_by_how_likely_they_were():
    record = judge(look(arms(FEW, FEW)))
    found = verdict(record, "blunders")

    assert levels(record, found) == pytest.approx((250 / 5_000, 250 / 5_000))
    assert found.n == 10_000
    assert found.verdict is Verdict.SAFE


def test_a_version_that_audits_find_worse_is_harm():
    bad = [0, 750, 250, 0, 2_000, 1_500, 500, 0]

    found = verdict(judge(look(arms(FEW, bad))), "blunders")

    assert found.estimate == pytest.approx(0.2)
    assert found.verdict is Verdict.HARM


def test_audits_that_nobody_resolved_hurt_both_claims():
    waiting = [0, 950, 50, 0, 2_000, 1_700, 100, 200]

    found, settled = (verdict(judge(look(arms(FEW, c))), "blunders") for c in (waiting, FEW))

    assert found.verdict is Verdict.UNDECIDED
    assert found.log_safe < settled.log_safe
    assert found.lower == pytest.approx(settled.lower, abs=1e-8)  # 1,700 and 200 as good as right
    assert found.upper > settled.upper


def test_before_the_first_opinion_there_is_no_data():
    nobody = [0, 0, 0, 1_000, 2_000, 0, 0, 2_000]

    assert verdict(judge(look(arms(nobody, nobody))), "blunders").verdict is Verdict.NO_DATA


def test_a_floor_of_audits_counts_those_that_were_answered():
    found = reached(look(arms(FEW, [0, 90, 10, 7, 300, 150, 50, 9])), since_ms=0)

    assert found["42"].audited == 90 + 10 + 150 + 50


def test_a_floor_of_audited_pairs_counts_none_that_nobody_looked_at():
    agreed = [9_000, 0, 0, 5, 85, 8_900]  # the last: not sampled; ten wait for an answer
    differ = [1_000, 30, 20, 10, 40, 900]

    found = reached(look(pairs(SHADOW, "defects", agreed, differ), of=(SHADOW,)), since_ms=0)

    assert found["42"].audited == 5 + 85 + 30 + 20 + 10 + 40


def test_pairs_that_nobody_looked_at_are_no_data():
    nobody = [9_000, 0, 0, 0, 0, 9_000], [1_000, 0, 0, 0, 0, 500]  # 500 wait

    found = verdict(judge(look(pairs(SHADOW, "defects", *nobody), of=(SHADOW,))), "defects")

    assert found.verdict is Verdict.NO_DATA


def test_a_pair_that_nobody_looked_at_weighs_as_an_equal_one():
    def of(epoch, *strata):
        record = judge(look(pairs(epoch, "defects", *strata), of=(epoch,)))
        return replace(verdict(record, "defects"), snapshot="")

    before = of(AS_IT_WAS, [9_000, 0, 0, 5, 8_985], [1_000, 30, 20, 10, 940])
    now = of(SHADOW, [9_000, 0, 0, 5, 85, 8_900], [1_000, 30, 20, 10, 40, 900])

    assert now == before


def test_of_an_epoch_without_a_column_for_them_they_count_as_they_did():
    agreed, differ = [9_000, 0, 0, 5, 8_985], [1_000, 30, 20, 10, 940]

    found = reached(look(pairs(AS_IT_WAS, "defects", agreed, differ), of=(AS_IT_WAS,)), since_ms=0)

    assert b"has_unseen" not in encoded(AS_IT_WAS)  # its digests are what they were
    assert found["42"].audited == 8_990 + 1_000


def test_a_ceiling_is_held_against_the_weighted_mean():
    epoch = replace(CANARY, metrics=tuple(
        replace(metric, form=Form.CEILING, limit=0.1) if metric is BLUNDERS else metric
        for metric in CANARY.metrics
    ))  # fmt: skip
    worse = [0, 700, 300, 0, 2_000, 1_400, 600, 0]

    within, beyond = (
        verdict(judge(look(arms(FEW, cells), of=(epoch,))), "blunders") for cells in (FEW, worse)
    )

    assert (within.verdict, within.estimate) == (Verdict.SAFE, pytest.approx(0.05))
    assert (beyond.verdict, beyond.estimate) == (Verdict.HARM, pytest.approx(0.3))


def test_a_relative_margin_of_audits_is_a_ratio_however_rare():
    spec = counting.SPEC.replace(b"paired: false, margin: {absolute: 0.05}",
                                 b"paired: false, margin: {relative: 0.5}")  # fmt: skip
    start = Start(rollout="r1", epoch=2, opens_ms=0, salts=counting.SALTS, shares=(0.3, 0.2))
    epoch = opened(read(spec)[0].spec, counting.MODEL, start, counting.FIGURES)

    assert named(epoch, "blunders")[1].form is Form.RATIO


def test_single_audits_of_sticky_units_are_refused_by_name():
    spec = counting.SPEC.replace(b"  slices:", b"  assignment: {unit: account}\n  slices:")
    spec = spec.replace(b"    - {name: missing, from: prediction, margin: {absolute: 0.01}}\n", b"")
    spec = spec.replace(b"[errors, missing]", b"[errors]")
    start = Start(rollout="r1", epoch=2, opens_ms=0, salts=counting.SALTS, shares=(0.3, 0.2))

    with pytest.raises(InputError, match=r"blunders: .* by request"):
        opened(read(spec)[0].spec, counting.MODEL, start, counting.FIGURES)


def test_what_a_plan_expects_has_the_mean_of_one_answer():
    likely = np.array([0.9, 0.1])

    whole, half = (expected(BLUNDERS, likely, known=known) for known in (1.0, 0.5))

    assert whole.sum() == half.sum() == pytest.approx(1)
    assert whole @ np.array(BLUNDERS.levels) == pytest.approx(0.1)
    assert half[-1] == pytest.approx(0.25)
