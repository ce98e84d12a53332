"""Looking at any time costs little: the units until a decision, in units of n80.

The bars are those of section 5C. With a seed the runs are the same each time, so none of them is
there for luck.
"""

from functools import partial

import pytest

from benchmarks.simulation import simulate
from benchmarks.stopping import DESIGNS, HORIZON, RARE, Design, Stopped

pytestmark = pytest.mark.stats


def stopped(design: Design, replicates: int, planned: float = 1.0) -> Stopped:
    found = simulate(partial(design.stops, planned=planned), replicates, seed=4)
    return Stopped.of(design.n80, found)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_with_a_right_plan_half_decide_by_1_6_and_nine_tenths_by_2_8(design, replicates):
    found = stopped(design, replicates)

    assert found.median <= 1.6
    assert found.ninety <= 2.8
    assert found.within(HORIZON) >= 0.999


@pytest.mark.parametrize("planned", [0.01, 100.0])
@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_with_a_plan_wrong_by_100_half_decide_by_2_1(design, planned, replicates):
    found = stopped(design, replicates, planned)

    assert found.median <= 2.1
    assert found.within(HORIZON) >= 0.99


@pytest.mark.parametrize("design", RARE, ids=lambda design: design.name)
def test_shares_of_rare_events_decide_by_1_9_without_a_plan(design, replicates):
    found = stopped(design, replicates)

    assert found.median <= 1.9
    assert found.within(HORIZON) >= 0.999
