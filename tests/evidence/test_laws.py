"""The laws that every exact statistic keeps, one parametrised test each."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evidence.bets import mixed
from evidence.cells import Cells
from evidence.domain import InputError
from evidence.results import Side
from evidence.sequences import Epoch, bound, confidence, evidence, log_e, log_e_both, log_e_late
from tests.evidence.statistics import EVERY

NAMES = sorted(EVERY)
every = pytest.mark.parametrize("name", NAMES)


def counts(shape, most=2_000):
    return arrays(np.int64, shape, elements=st.integers(0, most))


@st.composite
def streams(draw):
    """A statistic with the cells of its events, in the order in which they came."""
    statistic, effect, _ = EVERY[draw(st.sampled_from(NAMES))]
    size = math.prod(statistic.shape)
    return statistic, effect, draw(st.lists(st.integers(0, size - 1), max_size=60))


def counted(statistic, events):
    flat = np.bincount(np.array(events, dtype=np.int64), minlength=math.prod(statistic.shape))
    return Cells(flat.reshape(statistic.shape))


@given(streams(), st.data())
def test_order_and_partitions_never_move_a_verdict_by_one_bit(stream, data):
    statistic, effect, events = stream
    shuffled = data.draw(st.permutations(events))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    bounds = [0, *cuts, len(events)]
    parts = [counted(statistic, shuffled[a:b]) for a, b in pairwise(bounds)]

    whole, merged = counted(statistic, events), sum(parts, Cells())

    assert merged == whole
    for side in Side:
        one = evidence([Epoch(statistic, whole)], effect, side, alpha=0.05)
        assert evidence([Epoch(statistic, merged)], effect, side, alpha=0.05) == one


@given(streams(), st.data())
def test_duplicates_that_are_removed_by_key_leave_no_trace(stream, data):
    statistic, effect, events = stream
    keyed = list(enumerate(events))
    again = keyed + data.draw(
        st.lists(st.sampled_from(keyed), max_size=20) if keyed else st.just([])
    )
    deduplicated = dict(data.draw(st.permutations(again)))

    once, seen = counted(statistic, events), counted(statistic, list(deduplicated.values()))

    assert log_e_both([Epoch(statistic, seen)], effect) == log_e_both(
        [Epoch(statistic, once)], effect
    )


@given(st.tuples(*[counts((2, 3))] * 3))
def test_merging_is_associative_and_commutative_and_has_an_empty_element(three):
    a, b, c = map(Cells, three)

    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Cells() == a == Cells() + a
    assert hash(a + b) == hash(b + a)


@every
@given(data=st.data())
def test_no_counts_and_no_tested_effect_give_nan(name, data):
    statistic = EVERY[name].statistic
    found = data.draw(counts(statistic.shape, most=data.draw(st.sampled_from([0, 3, 10**9]))))
    whole = statistic.effects
    effect = data.draw(st.floats(whole.lower, min(whole.upper, 1e6)))

    logs = [float(log_e([Epoch(statistic, found)], effect, side)) for side in Side]

    assert not any(math.isnan(each) for each in logs)


@every
def test_without_units_nothing_is_known(name):
    statistic, effect, _ = EVERY[name]

    for cells in (Cells(), np.zeros(statistic.shape, dtype=np.int64)):
        found = evidence([Epoch(statistic, cells)], effect, Side.ABOVE, alpha=0.05)

        assert (found.n, found.estimate, found.log_e) == (0, None, pytest.approx(0.0, abs=1e-12))
        assert found.interval == statistic.effects


@every
@given(data=st.data())
def test_leading_axes_are_independent_looks(name, data):
    statistic, effect, _ = EVERY[name]
    many = data.draw(counts((3, *statistic.shape)))

    for side in Side:
        together = log_e([Epoch(statistic, many)], effect, side)
        alone = [log_e([Epoch(statistic, each)], effect, side) for each in many]

        assert together == pytest.approx(np.array(alone), rel=1e-12, abs=1e-12)


@every
@given(data=st.data())
def test_several_effects_at_once_are_each_as_one_alone(name, data):
    statistic = EVERY[name].statistic
    epochs = [Epoch(statistic, data.draw(counts(statistic.shape))) for _ in range(2)]
    lower, upper = statistic.effects.lower, min(statistic.effects.upper, 20.0)
    effects = np.array(data.draw(st.lists(st.floats(lower, upper), min_size=1, max_size=5)))

    for side in Side:
        for account in (log_e, log_e_late):
            together = account(epochs, effects, side)
            alone = [float(account(epochs, effect, side)) for effect in effects.tolist()]

            assert together == pytest.approx(np.array(alone), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if EVERY[name][0].monotone])
@given(data=st.data())
def test_one_sided_evidence_falls_as_the_tested_effect_nears_what_was_seen(name, data):
    statistic = EVERY[name].statistic
    found = data.draw(counts(statistic.shape, most=50))
    top = min(statistic.effects.upper, 20.0)
    lower, upper = sorted(data.draw(st.tuples(*[st.floats(statistic.effects.lower, top)] * 2)))
    epochs = [Epoch(statistic, found)]

    above = [float(log_e(epochs, effect, Side.ABOVE)) for effect in (lower, upper)]
    below = [float(log_e(epochs, effect, Side.BELOW)) for effect in (lower, upper)]

    assert above[0] >= above[1] - 1e-9
    assert below[0] <= below[1] + 1e-9


@every
@pytest.mark.parametrize("account", [log_e, log_e_late])
@pytest.mark.parametrize("n", [10, 1_000, 100_000])
def test_an_interval_ends_where_its_evidence_does(name, account, n):
    case = EVERY[name]
    epochs = [Epoch(case.statistic, case.sample(n, seed)) for seed in (1, 2)]
    whole, threshold = case.statistic.effects, math.log(20)

    for side, inward in ((Side.ABOVE, 1), (Side.BELOW, -1)):
        end = bound(epochs, side, alpha=0.05, account=account)
        if whole.lower < end < whole.upper:
            ratio = math.isinf(whole.upper)
            inside = end * (1 + inward * 1e-6) if ratio else end + inward * 1e-6 * whole.width

            assert float(account(epochs, end, side)) >= threshold - 1e-9
            assert float(account(epochs, inside, side)) < threshold


@every
@pytest.mark.parametrize("n", [10, 1_000, 100_000])
def test_a_plain_estimate_lies_in_its_interval(name, n):
    case = EVERY[name]
    epochs = [Epoch(case.statistic, case.sample(n, seed=5))]

    found = confidence(epochs, alpha=0.05)

    whole, estimate = case.statistic.effects, case.statistic.estimate(epochs[0].cells)
    assert found is not None
    # An unbiased estimate from few audits may lie beyond what is possible.
    assert estimate is None or min(max(estimate, whole.lower), whole.upper) in found


@pytest.mark.parametrize("name", [name for name in NAMES if "ranges" not in name])
def test_an_interval_closes_in_as_units_come(name):
    case = EVERY[name]

    widths = []
    for n in (1_000, 10_000, 100_000, 1_000_000):
        found = confidence([Epoch(case.statistic, case.sample(n, seed=8))], alpha=0.05)
        assert found is not None
        widths.append(found.width)

    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[-2] / 2


@every
@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda zeros: zeros - 1, "must not be negative"),
        (lambda zeros: zeros.astype(float), "must be integers"),
        (lambda zeros: zeros[..., :-1], "must have a shape that ends with"),
        (lambda zeros: zeros + 2**60, "must be below 2\\*\\*53"),
    ],
    ids=["negative", "floats", "too few cells", "too large"],
)
def test_counts_outside_the_domain_are_refused_by_name(name, spoil, rule):
    statistic, effect, _ = EVERY[name]
    cells = spoil(np.zeros(statistic.shape, dtype=np.int64))

    with pytest.raises(InputError, match=f"cells {rule}") as refused:
        statistic.log_wealth(cells, effect, Side.ABOVE)

    assert refused.value.argument == "cells"


@every
def test_a_frozen_value_takes_nothing_after_the_start(name):
    statistic = EVERY[name].statistic

    with pytest.raises(AttributeError):
        statistic.pi = 1.0


@every
def test_epochs_of_one_statistic_are_worth_as_much_as_one_epoch(name):
    statistic, effect, _ = EVERY[name]
    rng = np.random.default_rng(6)
    parts = [rng.integers(0, 50, statistic.shape) for _ in range(3)]

    cut = log_e([Epoch(statistic, part) for part in parts], effect, Side.ABOVE)
    whole = log_e([Epoch(statistic, sum(parts))], effect, Side.ABOVE)

    assert float(cut) == pytest.approx(float(whole), rel=1e-9, abs=1e-9)


@every
def test_both_wealths_mix_into_at_most_the_better_of_them(name):
    statistic, effect, _ = EVERY[name]
    cells = np.random.default_rng(7).integers(0, 50, statistic.shape)

    wealth = statistic.log_wealth(cells, effect, Side.ABOVE)

    assert wealth.min() <= float(mixed(wealth)) <= wealth.max()
