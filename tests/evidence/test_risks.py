import math

import numpy as np
import pytest

from evidence.domain import InputError
from evidence.results import Side
from evidence.risks import TILTS, EventShare, OneArmShare
from evidence.sequences import Epoch, confidence, log_e, log_e_both
from evidence.shares import log_e_share


def test_a_bettor_is_a_likelihood_ratio_by_hand():
    """Odds ratio e^u against p0 = 0.3 after 2 of 5."""
    u = TILTS[10]
    p0, p = 0.3, 0.3 * math.exp(u) / (0.7 + 0.3 * math.exp(u))

    wealth = OneArmShare().log_wealth([3, 2], p0, Side.ABOVE)

    assert wealth[10] == pytest.approx(2 * math.log(p / p0) + 3 * math.log((1 - p) / (1 - p0)))


def test_the_base_rate_does_not_enter_a_relative_risk():
    """Units without events are not even an argument: only who had the events counts."""
    assert EventShare(pi=0.1).shape == (2,)
    assert EventShare(pi=0.1).estimate([90, 20]) == pytest.approx(2.0)
    assert EventShare(pi=0.1).estimate([0, 20]) == math.inf
    assert EventShare(pi=0.1).estimate([0, 0]) is None


def test_swapping_the_arms_inverts_the_ratio():
    for side in Side:
        ours = log_e([Epoch(EventShare(pi=0.1), [90, 20])], 1.5, side)
        theirs = log_e([Epoch(EventShare(pi=0.9), [20, 90])], 1 / 1.5, side.other)

        assert float(ours) == pytest.approx(float(theirs), rel=1e-9)


def test_epochs_with_another_split_add_to_what_one_split_would_have_said():
    """The same relative risk under 5 % and 50 %: nobody starts again at nothing."""
    canary, half = EventShare(pi=0.05), EventShare(pi=0.5)
    both = [Epoch(canary, [190, 20]), Epoch(half, [100, 200])]

    together = float(log_e(both, 1.0, Side.ABOVE))
    apart = sum(float(log_e([epoch], 1.0, Side.ABOVE)) for epoch in both)

    assert together > apart


def test_the_tilt_mixture_is_about_as_sharp_as_the_beta_mixture():
    """A ceiling of 8 % with 5 % seen: both stop within 30 % of the same number."""
    n = np.arange(100, 6_000, 20)
    bad = np.round(0.05 * n).astype(np.int64)

    tilt = log_e([Epoch(OneArmShare(), np.stack([n - bad, bad], axis=-1))], 0.08, Side.BELOW)
    beta = log_e_share(bad, n, 0.08, Side.BELOW)
    stops = [int(n[np.argmax(found >= math.log(20))]) for found in (tilt, beta)]

    assert stops[0] == pytest.approx(stops[1], rel=0.3)


def test_a_ratio_of_nothing_and_an_infinite_one_have_open_intervals():
    none = confidence([Epoch(EventShare(pi=0.5), [30, 0])], alpha=0.05)
    all_of_them = confidence([Epoch(EventShare(pi=0.5), [0, 30])], alpha=0.05)

    assert none is not None
    assert all_of_them is not None
    assert none.lower == 0
    assert none.upper < 1
    assert all_of_them.upper == math.inf
    assert all_of_them.lower > 1


def test_both_sides_see_a_share_that_is_off_either_way():
    for cells in ([150, 50], [50, 150]):
        assert float(log_e_both([Epoch(EventShare(pi=0.5), cells)], 1.0)) > math.log(20)


@pytest.mark.parametrize("pi", [0.0, 1.0, math.nan, -0.1])
def test_a_split_that_leaves_an_arm_empty_is_refused(pi):
    with pytest.raises(InputError, match="pi must lie strictly between 0 and 1"):
        EventShare(pi=pi)
