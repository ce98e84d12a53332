"""Lanes: what a challenger owns at a larger share always holds what it owned at a smaller one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.ramps import enrolment
from rollout.lanes import MILLION, Stretch, equal_share, fresh, held, stretches
from streams.errors import InputError
from streams.hashing import assignment_point

SHARE = st.integers(0, MILLION).map(lambda millionths: millionths / MILLION)
NUMBER = st.integers(1, 8)


@st.composite
def disjoint(draw, number):
    """Shares that all of so many challengers can have at once."""
    lanes = -(-number // 2)
    width = MILLION // lanes
    shares = []
    for lane in range(lanes):
        first = draw(st.integers(0, width))
        second = draw(st.integers(0, width - first))
        shares += [first / MILLION, second / MILLION][: number - 2 * lane]
    return shares


def owner(owned: list[Stretch], point: float) -> int | None:
    holders = [k for k, stretch in enumerate(owned) if stretch.holds(point)]
    assert len(holders) <= 1, "nobody belongs to two"
    return holders[0] if holders else None


@given(NUMBER, st.data())
def test_growing_a_challenger_moves_none_of_its_units(number, data):
    k = data.draw(st.integers(0, number - 1))
    small, large = sorted((data.draw(SHARE), data.draw(SHARE)))
    before, after = ([0.0] * number for _ in range(2))
    before[k], after[k] = small, large

    old, new = stretches(before)[k], stretches(after)[k]

    assert old.lo == old.hi or new.lo <= old.lo <= old.hi <= new.hi


@given(NUMBER.flatmap(lambda n: st.tuples(disjoint(n), disjoint(n))), st.integers(0, 200))
def test_growing_all_of_them_at_once_moves_nobody_who_is_enrolled(pair, unit):
    large, other = pair
    small = [min(shares) for shares in zip(large, other, strict=True)]
    point = assignment_point("r-1", f"unit-{unit}")

    before, after = owner(stretches(small), point), owner(stretches(large), point)

    assert before is None or after == before


@given(st.integers(0, 5000), st.lists(SHARE, min_size=2, max_size=6))
def test_shrinking_lets_the_newest_go_first(unit, shares):
    point = assignment_point("r-1", f"unit-{unit}")
    enrolled = [share for share in sorted(shares) if stretches([share])[0].holds(point)]

    assert enrolled == sorted(shares)[len(shares) - len(enrolled) :]


@given(NUMBER.flatmap(disjoint), st.floats(0, 1, exclude_max=True))
def test_shares_that_fit_their_lanes_never_overlap_and_are_as_large_as_asked(shares, point):
    owned = stretches(shares)

    assert all(
        round((stretch.hi - stretch.lo) * MILLION) == round(share * MILLION)
        for stretch, share in zip(owned, shares, strict=True)
    )
    owner(owned, point)


@pytest.mark.parametrize("number", range(1, 9))
def test_all_challengers_can_have_the_equal_share_and_not_a_millionth_more(number):
    share = equal_share(number)

    stretches([share] * number)
    with pytest.raises(InputError):
        stretches([share + 2e-6] * number)


@pytest.mark.parametrize("number", range(1, 9))
def test_whoever_is_left_alone_can_have_everything(number):
    for k in range(number):
        shares = [0.0] * number
        shares[k] = 1.0
        assert stretches(shares)[k] == (0.0, 1.0)


def test_two_challengers_meet_without_gap_or_overlap_wherever_they_meet():
    for percent in range(101):
        up, down = stretches([percent / 100, (100 - percent) / 100])
        assert (up.lo, down.hi) == (0.0, 1.0)
        assert up.hi == down.lo


def test_units_are_balanced_over_the_arms():
    owned = stretches([0.25, 0.25, 0.25])
    units = [owner(owned, assignment_point("r-1", f"unit-{k}")) for k in range(40_000)]

    counts = [units.count(k) for k in (0, 1, 2, None)]

    # Four standard deviations of a binomial count with n = 40,000 and p = 1/4 are 346.
    assert max(abs(count - 10_000) for count in counts) < 346


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([0.6, 0.5], "challengers 0 and 1 would own the same units"),
        ([0.0, 0.6, 0.4], "challengers 1 and 2 would own the same units"),
        ([1.1], "challenger 0 has the share 1.1"),
        ([0.5, -0.1], "challenger 1 has the share -0.1"),
        ([float("nan")], "challenger 0 has the share nan"),
        ([1e-7], "challenger 0 has the share 1e-07"),
    ],
)
def test_shares_that_cannot_be_are_refused_by_name(shares, said):
    with pytest.raises(InputError, match=said):
        stretches(shares)


@given(NUMBER.flatmap(lambda n: st.tuples(disjoint(n), disjoint(n))), st.booleans())
def test_who_is_new_is_what_the_statistics_say_of_a_ramp(pair, grows):
    large, other = pair
    small = [min(shares) for shares in zip(large, other, strict=True)]
    before, now = (small, large) if grows else (large, small)

    left, *newly = fresh(held(before), now)

    for k, share in enumerate(newly):
        said = enrolment([before], now, k)
        assert share == pytest.approx(said.challenger, abs=1e-5)
        assert left == pytest.approx(said.champion, abs=1e-5)


@given(NUMBER.flatmap(lambda n: st.tuples(st.lists(SHARE, min_size=n, max_size=n), disjoint(n))),
       st.lists(st.integers(0, 10**6), min_size=1, max_size=20))  # fmt: skip
def test_nobody_is_new_twice_and_everybody_is_new_or_was_taken(shares, units):
    given_, now = shares
    taken, owned = held(given_), stretches(now)
    left, *newly = fresh(taken, now)

    assert min(left, *newly) >= 0
    for unit in units:
        point = assignment_point("r-1", f"unit-{unit}")
        was = any(
            stretches([0.0] * k + [share] + [0.0] * (len(now) - k - 1))[k].holds(point)
            for k, share in enumerate(given_)
        )
        assert was == any(stretch.holds(point) for stretch in taken)
        k = owner(owned, point)
        assert was or (left if k is None else newly[k]) > 0
    whole = sum(stretch.hi - stretch.lo for stretch in taken)
    assert left + sum(newly) + whole == pytest.approx(1)
