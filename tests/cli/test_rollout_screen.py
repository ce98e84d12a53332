"""The table of metrics on a terminal: figures, units and states, of a look of every form."""

from penstock.cli.rollout_screen import _table
from penstock.rollout_details import metric_view
from rollout.judge import judge
from tests.rollout.test_judge import CANARY, GOOD, SHADOW, arms, look, pairs

CELLS = (
    GOOD
    | arms(CANARY, "misses", [9_600, 400], [[5_000, 1_000], [3_840, 160]])
    | arms(CANARY, "errors", [49_000, 1_000], [[29_000, 1_500], [19_600, 400]])
    | pairs(SHADOW, "disagreement", [1_000, 100, 0, 0, 900], [1_000, 400, 0, 0, 600])
)


def rows():
    record = judge(look(CELLS, of=(SHADOW, CANARY)))
    table = list(_table([metric_view(record, each) for each in record.judged]))
    return {line[: line.index("  ")]: line.split() for line in table}


def test_a_row_has_both_arms_the_change_its_limit_and_a_state():
    misses = rows()["42: misses"]

    assert misses[2:5] == ["0.04", "0.167", "+0.127"]
    assert misses[-3:] == ["+0.01", "x", "crossed"]


def test_a_ratio_is_per_cent_beside_the_champion():
    assert rows()["43: errors"][2:6] == ["0.02", "0.02", "+0", "%"]
    assert "+50 %" in " ".join(rows()["43: errors"])


def test_under_a_ceiling_there_is_a_level_and_no_champion():
    assert rows()["42: disagreement"][2:5] == ["-", "0.1", "0.1"]
    assert rows()["42: disagreement"][-3:] == ["0.2", "v", "held"]


def test_a_slice_without_data_has_no_row():
    assert not [name for name in rows() if " in " in name]
    assert "43: tip" in rows()
