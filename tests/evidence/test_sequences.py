import math

import numpy as np
import pytest

from evidence.bets import BoundedMean, Plan
from evidence.cells import Cells
from evidence.domain import InputError
from evidence.effects import Arms, Difference, Ratio
from evidence.paired import PairedDifference, Pairs
from evidence.results import Evidence, Guarantee, Interval, Side
from evidence.risks import EventShare
from evidence.sequences import Epoch, bound, confidence, estimate, log_e, log_e_late, units

COIN = BoundedMean((0.0, 1.0), sigma0=0.5, plan=Plan(n_star=500))
FAIR, BIASED = [2_000, 2_000], [30, 90]


def test_kinds_of_evidence_that_share_no_events_multiply():
    shadow = Epoch(PairedDifference(Pairs(sigma0=0.2)), [[30, 60, 0, 910, 0]])
    canary = Epoch(Difference(Arms(pi=0.1, centre=0.05, sd=0.2)), [[855, 45], [95, 5]])

    together = log_e([shadow, canary], 0.01, Side.BELOW)

    apart = [log_e([each], 0.01, Side.BELOW) for each in (shadow, canary)]
    assert float(together) == pytest.approx(float(sum(apart)))


def test_differences_and_ratios_do_not_mix():
    both = [
        Epoch(Difference(Arms(pi=0.1, centre=0.05, sd=0.2)), [[9, 1], [9, 1]]),
        Epoch(EventShare(pi=0.5), [3, 4]),
    ]

    with pytest.raises(InputError, match="must be all of differences or all of ratios"):
        log_e(both, 0.0, Side.ABOVE)


def test_no_epochs_are_refused():
    for call in (log_e, log_e_late):
        with pytest.raises(InputError, match="must hold at least one epoch"):
            call([], 0.0, Side.ABOVE)
    with pytest.raises(InputError, match="must hold at least one epoch"):
        bound([], Side.ABOVE, alpha=0.05)


def test_harm_that_begins_late_is_found_by_the_mixture_and_not_by_one_account():
    epochs = [Epoch(COIN, FAIR), Epoch(COIN, BIASED)]

    assert float(log_e(epochs, 0.5, Side.ABOVE)) < math.log(20)
    assert float(log_e_late(epochs, 0.5, Side.ABOVE)) > math.log(20)


def test_the_mixture_over_starts_is_its_formula():
    """Two epochs: 1/2 E(1..2) + 1/6 E(2) + 1/3."""
    epochs = [Epoch(COIN, [20, 30]), Epoch(COIN, [10, 25])]
    both, last = (float(log_e(part, 0.5, Side.ABOVE)) for part in (epochs, epochs[1:]))

    found = float(log_e_late(epochs, 0.5, Side.ABOVE))

    assert math.exp(found) == pytest.approx(math.exp(both) / 2 + math.exp(last) / 6 + 1 / 3)


def test_data_that_no_effect_explains_leave_no_interval():
    """Sixty failures of the challenger under a split that gives it one unit in five."""
    epochs = [Epoch(Difference(Arms(pi=0.2, centre=0.05, sd=0.5)), [[0, 0], [0, 60]])]

    assert bound(epochs, Side.ABOVE, alpha=0.05) == math.inf
    assert confidence(epochs, alpha=0.05) is None


def test_a_running_intersection_that_is_empty_says_so():
    assert Interval(0, 1).meet(Interval(2, 3)) is None
    assert Interval(0, 2).meet(Interval(1, 3)) == Interval(1, 2)


def test_units_and_estimates_add_over_epochs():
    epochs = [Epoch(COIN, Cells([20, 80])), Epoch(COIN, Cells()), Epoch(COIN, Cells([150, 150]))]

    assert units(epochs) == 400
    assert estimate(epochs) == pytest.approx(0.575)
    assert estimate([Epoch(COIN, Cells())]) is None


def test_closed_epochs_stand_beside_every_look_of_the_current_one():
    looks = np.array([[10, 20], [20, 40], [30, 60]])

    together = log_e([Epoch(COIN, FAIR), Epoch(COIN, looks)], 0.5, Side.ABOVE)

    alone = [log_e([Epoch(COIN, FAIR), Epoch(COIN, look)], 0.5, Side.ABOVE) for look in looks]
    assert together == pytest.approx(np.array(alone))


def test_a_bound_is_the_end_of_the_range_where_nothing_is_excluded():
    ratio = Ratio(Arms(pi=0.5, centre=0.05, sd=0.2))

    assert bound([Epoch(ratio, [[10, 0], [10, 0]])], Side.ABOVE, alpha=0.05) == 0
    assert bound([Epoch(ratio, [[10, 0], [10, 0]])], Side.BELOW, alpha=0.05) == math.inf
    assert bound([Epoch(COIN, [1, 1])], Side.ABOVE, alpha=0.05) == 0.0


def test_evidence_is_written_within_what_a_float_holds():
    found = Evidence(n=1, estimate=None, interval=None, log_e=-math.inf, alpha=0.05)

    assert found.log_e == -700
    assert found.p_value == 1
    assert found.guarantee is Guarantee.EXACT
    with pytest.raises(InputError, match="log_e"):
        Evidence(n=1, estimate=None, interval=None, log_e=math.nan, alpha=0.05)


@pytest.mark.parametrize("ends", [(1.0, 0.0), (math.nan, 1.0), (0.0, math.nan)])
def test_an_interval_runs_from_low_to_high(ends):
    with pytest.raises(InputError, match="interval"):
        Interval(*ends)
