import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.domain import InputError
from evidence.ramps import enrolment

shares = st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)).map(list), min_size=1, max_size=4)


@given(shares)
def test_enrolment_is_what_counting_units_gives(ramp):
    """Lanes from opposite ends, units on a fine grid of u: who is compared, by brute force."""
    u = (np.arange(20_000) + 0.5) / 20_000
    held = np.zeros_like(u, dtype=bool)
    for before, now in enumerate(ramp):
        wide = [max(epoch[k] for epoch in ramp[: before + 1]) for k in range(2)]
        lanes = [u < wide[0], u >= 1 - wide[1]]
        champion = ~lanes[0] & ~lanes[1]
        for k in range(2):
            expected = enrolment(ramp[:before], now, k)
            eligible = lanes[k] & ~held

            assert eligible.mean() == pytest.approx(expected.challenger, abs=2e-4)
            assert champion.mean() == pytest.approx(expected.champion, abs=2e-4)
        held |= lanes[0] | lanes[1]


def test_a_first_epoch_compares_its_own_share():
    assert enrolment([], [0.05], 0).pi == pytest.approx(0.05)


def test_an_epoch_that_does_not_grow_has_no_evidence():
    assert enrolment([[0.05], [0.25]], [0.25], 0).pi is None
    assert enrolment([[0.05], [0.25]], [0.05], 0).pi is None
    assert enrolment([[0.5]], [1.0], 0).pi is None


def test_two_challengers_share_the_champion_but_not_each_other():
    first = enrolment([[0.1, 0.1]], [0.2, 0.3], 0)
    second = enrolment([[0.1, 0.1]], [0.2, 0.3], 1)

    assert first.pi == pytest.approx(0.1 / 0.6)
    assert second.pi == pytest.approx(0.2 / 0.7)


@pytest.mark.parametrize(
    ("before", "now", "k", "argument"),
    [
        ([], [0.1], 1, "k"),
        ([], [0.1], -1, "k"),
        ([[0.1, 0.1]], [0.2], 0, "before"),
        ([], [-0.1], 0, "shares"),
        ([], [0.7, 0.7], 0, "shares"),
        ([[1.2]], [0.5], 0, "shares"),
    ],
)
def test_a_ramp_outside_its_domain_is_named(before, now, k, argument):
    with pytest.raises(InputError) as refused:
        enrolment(before, now, k)

    assert refused.value.argument == argument
