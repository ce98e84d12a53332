"""Each arm's own figure, from the counts of a look; worked out by hand."""

import pytest

from rollout.judge import judge
from rollout.levels import form_of, levels
from tests.rollout.test_judge import CANARY, GOOD, SHADOW, arms, look, named, pairs, verdict


def shown(record, name, arm="42"):
    return levels(record, verdict(record, name, arm))


def test_a_rate_is_a_share_of_each_arm():
    record = judge(look(GOOD | arms(CANARY, "misses", [9_600, 400], [[5_000, 1_000], [0, 0]])))

    assert shown(record, "misses") == (400 / 10_000, 1_000 / 6_000)
    assert shown(record, "misses", "43") == (400 / 10_000, None)


def test_a_pair_has_both_figures():
    record = judge(look(pairs(SHADOW, "wrong", [1_000, 30, 10, 5, 955]), of=(SHADOW,)))

    assert shown(record, "wrong") == (15 / 1_000, 35 / 1_000)


def test_an_audited_pair_counts_for_those_that_nobody_sampled():
    record = judge(look(pairs(SHADOW, "defects", [1_000, 30, 10, 0, 960]), of=(SHADOW,)))
    q = named(SHADOW, "defects")[1].q[0]

    assert q < 1
    assert shown(record, "defects") == pytest.approx((10 / q / 1_000, 30 / q / 1_000))


def test_of_what_has_a_ceiling_there_is_no_champion():
    record = judge(look(pairs(SHADOW, "disagreement", [1_000, 100, 0, 0, 900]), of=(SHADOW,)))

    assert shown(record, "disagreement") == (None, 100 / 1_000)
    assert form_of(record, "disagreement") == "ceiling"


def test_what_has_no_counts_has_no_figures():
    record = judge(look(GOOD))

    assert shown(record, "misses") == (None, None)
    assert form_of(record, "none") is None
