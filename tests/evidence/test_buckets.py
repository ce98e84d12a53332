"""Rounding keeps the mean, whatever the unit; logarithmic buckets keep the relative error."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evidence.bets import BoundedMean
from evidence.buckets import Levels, LogBuckets
from evidence.domain import InputError

numbers = st.floats(-1e6, 1e6)
uniforms = st.floats(0, 1, exclude_max=True)


@st.composite
def scales(draw):
    least = draw(st.floats(1e-3, 10))
    cap = least * draw(st.floats(1.5, 1e6))
    floor = draw(st.sampled_from([0.0, -1.5, -cap / least])) * least
    return Levels(cap=cap, least=least, floor=floor, count=draw(st.integers(5, 80)))


@given(scales())
def test_levels_rise_from_the_floor_over_zero_to_the_cap(scale):
    values = scale.values

    assert len(values) == scale.count
    assert (np.diff(values) > 0).all()
    assert (values[0], values[-1]) == (scale.floor, scale.cap)
    assert 0.0 in values
    assert np.isclose(values, scale.least, rtol=1e-12).any()


@given(scales())
def test_neighbours_above_zero_keep_one_ratio(scale):
    above = scale.values[scale.values > 0]

    assert np.allclose(np.diff(np.log(above)), np.log(above[1] / above[0]))


@given(scales(), numbers)
def test_the_expected_level_is_the_clipped_value(scale, value):
    index, upper = scale.neighbours(value)

    lower, higher = scale.values[index], scale.values[index + 1]
    expected = lower * (1 - upper) + higher * upper
    assert 0 <= index <= scale.count - 2
    assert 0 <= upper <= 1
    assert math.isclose(
        expected,
        min(max(value, scale.floor), scale.cap),
        rel_tol=1e-12,
        abs_tol=1e-12 * scale.least,
    )


@given(scales(), numbers)
def test_over_a_grid_of_uniforms_the_mean_level_is_the_clipped_value(scale, value):
    grid = (np.arange(4096) + 0.5) / 4096

    levels = scale.values[scale.rounded(np.full(4096, value), grid)]

    gap = np.diff(scale.values)[scale.neighbours(value)[0]]
    assert abs(levels.mean() - min(max(value, scale.floor), scale.cap)) <= gap / 4096 + 1e-9
    assert len(set(levels)) <= 2


@given(scales(), st.integers(0, 79), uniforms)
def test_a_value_on_a_level_stays_there_whatever_the_uniform(scale, index, uniform):
    index = index % scale.count

    assert scale.rounded(scale.values[index], uniform) == index


@given(scales(), numbers, uniforms, st.sampled_from([1e-6, 1e-3, 7.0, 1e6]))
def test_another_unit_counts_into_the_same_cells(scale, value, uniform, unit):
    other = Levels(
        cap=scale.cap * unit, least=scale.least * unit, floor=scale.floor * unit, count=scale.count
    )
    _, upper = scale.neighbours(value)
    assume(min(abs(upper - uniform), upper, 1 - upper) > 1e-9)  # ties are for the last bit

    assert other.rounded(value * unit, uniform) == scale.rounded(value, uniform)


@given(scales(), numbers, uniforms, st.integers(-20, 20))
def test_a_unit_that_is_a_power_of_two_changes_no_bit(scale, value, uniform, power):
    unit = 2.0**power
    other = Levels(
        cap=scale.cap * unit, least=scale.least * unit, floor=scale.floor * unit, count=scale.count
    )

    assert (other.values == scale.values * unit).all()
    assert other.rounded(value * unit, uniform) == scale.rounded(value, uniform)


def test_refunds_get_levels_below_zero_in_proportion_to_their_octaves():
    spend = Levels(cap=1_000.0, floor=-10.0, least=1.0, count=65)

    assert [(spend.values < 0).sum(), (spend.values > 0).sum()] == [16, 48]


def test_by_default_there_are_64_levels_and_they_are_outcomes_of_a_mean():
    spend = Levels(cap=500.0, least=0.01)
    cells = np.bincount(spend.rounded(np.full(1_000, 3.0), np.arange(1_000) / 1_000), minlength=64)

    mean = BoundedMean(tuple(spend.values), sigma0=10.0)

    assert math.isclose(mean.estimate(cells), 3.0, rel_tol=1e-3)


@pytest.mark.parametrize(
    ("argument", "given_"),
    [
        ("least", {"least": 0.0, "cap": 1.0}),
        ("least", {"least": math.nan, "cap": 1.0}),
        ("cap", {"least": 1.0, "cap": 1.0}),
        ("cap", {"least": 1.0, "cap": math.inf}),
        ("floor", {"least": 1.0, "cap": 2.0, "floor": -1.0}),
        ("floor", {"least": 1.0, "cap": 2.0, "floor": 0.5}),
        ("floor", {"least": 1.0, "cap": 2.0, "floor": math.nan}),
        ("count", {"least": 1.0, "cap": 2.0, "count": 4}),
        ("count", {"least": 1.0, "cap": 1.0 + 1e-15, "count": 64}),
        ("count", {"least": 5e-324, "cap": 100.0}),
    ],
)
def test_impossible_levels_are_refused_by_name(argument, given_):
    with pytest.raises(InputError) as refused:
        Levels(**given_)

    assert refused.value.argument == argument


@pytest.mark.parametrize(
    ("argument", "values", "given_"),
    [
        ("values", [1.0, math.nan], [0.1, 0.1]),
        ("values", [math.inf, 1.0], [0.1, 0.1]),
        ("uniforms", [1.0, 2.0], [0.1, 1.0]),
        ("uniforms", [1.0, 2.0], [-0.1, 0.5]),
        ("uniforms", [1.0, 2.0], [math.nan, 0.5]),
        ("uniforms", [1.0, 2.0], [0.5]),
    ],
)
def test_impossible_values_are_refused_by_name(argument, values, given_):
    with pytest.raises(InputError) as refused:
        Levels(cap=10.0, least=1.0).rounded(values, given_)

    assert refused.value.argument == argument


# Logarithmic buckets


ranges = st.builds(
    lambda least, factor, error: LogBuckets(least=least, greatest=least * factor, error=error),
    st.floats(1e-3, 1e3),
    st.floats(1.5, 1e6),
    st.floats(0.005, 0.5),
)


@given(ranges, st.floats(0, 1))
def test_every_value_is_within_the_error_of_the_middle_of_its_bucket(buckets, place):
    value = buckets.least * (buckets.greatest / buckets.least) ** place

    upper = buckets.edges[buckets.of(value)]

    assert abs(2 * upper / (1 + buckets.gamma) / value - 1) <= buckets.error * (1 + 1e-9)


@given(ranges)
def test_edges_cover_the_range_with_one_ratio_and_waste_at_most_a_bucket_at_each_end(buckets):
    edges, gamma = buckets.edges, buckets.gamma

    assert np.allclose(edges[1:] / edges[:-1], gamma)
    assert buckets.least / gamma**2 < edges[0] <= buckets.least * (1 + 1e-9)
    assert buckets.greatest * (1 - 1e-9) <= edges[-1] < buckets.greatest * gamma**2
    assert buckets.count == len(edges) + 1


@given(ranges, st.data())
def test_an_edge_belongs_to_the_bucket_below_it(buckets, data):
    at = data.draw(st.integers(0, len(buckets.edges) - 1))
    edge = buckets.edges[at]

    assert buckets.of([edge, math.nextafter(edge, math.inf)]).tolist() == [at, at + 1]


@given(st.lists(st.floats(-1, 1e9), max_size=50), st.data())
def test_counts_up_to_an_edge_are_those_of_the_values(values, data):
    buckets = LogBuckets(least=0.5, greatest=1e6, error=0.05)
    at = data.draw(st.integers(0, len(buckets.edges) - 1))

    cells = np.bincount(buckets.of(values), minlength=buckets.count)

    assert len(cells) == buckets.count
    assert cells[: at + 1].sum() == sum(value <= buckets.edges[at] for value in values)


def test_what_lies_beyond_an_end_is_in_the_end_bucket():
    buckets = LogBuckets(least=1.0, greatest=100.0)

    assert buckets.of([-5.0, 0.0, 1e-9]).tolist() == [0, 0, 0]
    assert buckets.of([1e9]).tolist() == [buckets.count - 1]


def test_ranges_that_overlap_share_their_edges():
    wide, narrow = LogBuckets(least=0.1, greatest=1e5), LogBuckets(least=5.0, greatest=900.0)

    assert set(narrow.edges) <= set(wide.edges)


@pytest.mark.parametrize(
    ("argument", "given_"),
    [
        ("least", {"least": 0.0, "greatest": 1.0}),
        ("least", {"least": math.nan, "greatest": 1.0}),
        ("greatest", {"least": 1.0, "greatest": 1.0}),
        ("greatest", {"least": 1.0, "greatest": math.inf}),
        ("error", {"least": 1.0, "greatest": 2.0, "error": 0.0}),
        ("error", {"least": 1.0, "greatest": 2.0, "error": 1.0}),
    ],
)
def test_impossible_buckets_are_refused_by_name(argument, given_):
    with pytest.raises(InputError) as refused:
        LogBuckets(**given_)

    assert refused.value.argument == argument


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_in_no_bucket(value):
    with pytest.raises(InputError, match="values must be finite"):
        LogBuckets(least=1.0, greatest=2.0).of([1.0, value])
