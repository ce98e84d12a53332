"""Moments are the sample's own, however it was cut; checked against exact fractions and scipy."""

from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evidence.domain import InputError
from evidence.moments import Moments

REALS = st.floats(-1e6, 1e6, allow_subnormal=False)
PAIRS = st.lists(st.tuples(REALS, REALS), min_size=1, max_size=12)


def close(found: Moments, expected: Moments) -> None:
    assert found.n == expected.n
    size = 1 + max(np.abs(expected.mean).max(), np.sqrt(np.abs(expected.m2).max()))
    for name, power in (("mean", 1), ("m2", 2), ("m3", 3)):
        gap = np.abs(getattr(found, name) - getattr(expected, name)).max()
        assert gap <= 1e-11 * size**power, name


@given(PAIRS, st.data())
def test_merging_equals_having_seen_everything(rows, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    parts = [
        Moments.of(np.reshape(rows[start:end], (-1, 2)))
        for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)
    ]

    merged = reduce(lambda a, b: a + b, parts, Moments())

    close(merged, Moments.of(rows))


@given(PAIRS, PAIRS)
def test_merging_has_no_order(left, right):
    a, b = Moments.of(left), Moments.of(right)

    close(a + b, b + a)


def test_the_empty_element_adds_to_anything_and_changes_nothing():
    pair = Moments.of([[1.0, 2.0], [3.0, 5.0]])

    assert Moments() + pair is pair
    assert pair + Moments() is pair
    assert (Moments() + Moments()).n == 0
    assert Moments.of(np.zeros((0, 2))).n == 0


@given(PAIRS)
def test_sums_are_those_of_exact_fractions(rows):
    n = len(rows)
    exact = [[Fraction(value) for value in column] for column in zip(*rows, strict=True)]
    means = [sum(column) / n for column in exact]
    gaps = [[value - mean for value in column] for column, mean in zip(exact, means, strict=True)]
    m2 = [[sum(a * b for a, b in zip(x, y, strict=True)) for x in gaps] for y in gaps]
    m3 = [
        [[sum(a * b * c for a, b, c in zip(x, y, z, strict=True)) for x in gaps] for y in gaps]
        for z in gaps
    ]

    found = Moments.of(rows)

    close(found, Moments(n, *(np.array(each, dtype=float) for each in (means, m2, m3))))


@given(PAIRS, st.tuples(st.floats(-9, 9), st.floats(-9, 9)))
def test_projecting_equals_combining_every_unit_first(rows, weights):
    combined = Moments.of(np.array(rows) @ weights)

    found = Moments.of(rows).project(weights)

    size = 1 + np.abs(np.array(rows)).max() * np.abs(weights).sum()
    assert found.mean == pytest.approx(combined.mean, abs=1e-11 * size)
    assert found.m2 == pytest.approx(combined.m2, abs=1e-10 * len(rows) * size**2)
    assert found.m3 == pytest.approx(combined.m3, abs=1e-10 * len(rows) * size**3)


def test_variance_and_skewness_are_those_of_scipy():
    rows = np.random.default_rng(1).lognormal(size=(500, 2))

    found = Moments.of(rows)

    assert found.variance == pytest.approx(rows.var(axis=0, ddof=1))
    assert found.skewness == pytest.approx(stats.skew(rows))


def test_a_large_mean_leaves_the_spread_as_it_is():
    values = np.tile([0.0, 1.0, 5.0], 100)
    halves = [Moments.of(part + 1e9) for part in (values[:150], values[150:])]

    found = halves[0] + halves[1]

    assert found.variance.item() == pytest.approx(values.var(ddof=1), rel=1e-6)
    assert found.skewness.item() == pytest.approx(stats.skew(values), rel=1e-6)


def test_a_combination_that_is_constant_has_no_spread():
    x = np.random.default_rng(2).normal(50, 9, size=1000)
    parts = [Moments.of(np.stack([0.3 * half, half], axis=1)) for half in (x[:400], x[400:])]

    found = (parts[0] + parts[1]).project((1, -0.3))

    assert found.m2.item() == found.m3.item() == 0
    assert Moments.of([0.1] * 7).project((1,)).variance.item() == 0


def test_what_does_not_vary_has_no_skewness():
    assert Moments.of([3.0]).skewness.item() == Moments.of([3.0]).variance.item() == 0


def test_moments_cannot_be_changed():
    found = Moments.of([1.0, 2.0])

    with pytest.raises(ValueError, match="read-only"):
        found.mean[0] = 9


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: Moments.of([1.0, float("nan")]), "values"),
        (lambda: Moments.of([1.0, float("inf")]), "values"),
        (lambda: Moments.of([1e91]), "values"),
        (lambda: Moments.of(3.0), "values"),
        (lambda: Moments.of(np.zeros((3, 0))), "values"),
        (lambda: Moments(-1, np.zeros(1), np.zeros((1, 1)), np.zeros((1, 1, 1))), "n"),
        (lambda: Moments(0, np.zeros(1), np.zeros((1, 1)), np.zeros((1, 1, 1))), "n"),
        (lambda: Moments(2), "n"),
        (lambda: Moments(2, np.zeros(2), np.zeros((1, 1)), np.zeros((2, 2, 2))), "m2"),
        (lambda: Moments(2, np.zeros(1), -np.ones((1, 1)), np.zeros((1, 1, 1))), "m2"),
        (lambda: Moments(2, np.zeros(1), np.ones((1, 1)), np.full((1, 1, 1), np.nan)), "m3"),
        (lambda: Moments.of([1.0]) + Moments.of([[1.0, 2.0]]), "mean"),
        (lambda: Moments.of([1.0]).project((1, 2)), "weights"),
        (lambda: Moments().project(()), "weights"),
    ],
)
def test_what_is_no_sample_is_named(make, argument):
    with pytest.raises(InputError) as refused:
        make()

    assert refused.value.argument == argument
