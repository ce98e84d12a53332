import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.bets import Plan
from evidence.domain import InputError
from evidence.effects import Arms, Difference, Ratio
from evidence.results import Side
from evidence.sequences import Epoch, bound, confidence, log_e
from tests.evidence.statistics import MONEY, RATE

cells = st.lists(st.integers(0, 500), min_size=4, max_size=4).map(
    lambda four: np.array(four).reshape(2, 2)
)


@given(cells, st.floats(-0.2, 0.2))
def test_swapping_the_arms_swaps_the_sides(counts, d):
    there = Difference(Arms(pi=0.2, centre=0.1, sd=0.3))
    back = Difference(Arms(pi=0.8, centre=0.1, sd=0.3))

    for side in Side:
        ours = log_e([Epoch(there, counts)], d, side)
        theirs = log_e([Epoch(back, counts[::-1])], -d, side.other)

        assert float(ours) == pytest.approx(float(theirs), rel=1e-9, abs=1e-9)


@given(cells, st.floats(0.5, 2.0))
def test_the_unit_of_a_metric_does_not_matter(counts, r):
    large = Arms(levels=(0.0, 3.0), pi=0.2, centre=0.3, sd=1.0)
    small = Arms(levels=(0.0, 3e-6), pi=0.2, centre=0.3e-6, sd=1e-6)

    for side in Side:
        for make, effect, scaled in ((Ratio, r, r), (Difference, r - 1, (r - 1) * 1e-6)):
            ours = log_e([Epoch(make(large), counts)], effect, side)
            theirs = log_e([Epoch(make(small), counts)], scaled, side)

            assert float(ours) == pytest.approx(float(theirs), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("arms", [RATE, MONEY])
@pytest.mark.parametrize("ratio", [1.0, 1.3, 0.5])
def test_the_pseudo_outcome_has_the_effect_as_its_mean_whatever_the_centre(arms, ratio):
    """Exact expectation over assignment and outcome, with weights that are not special."""
    levels = len(arms.levels)
    champion = np.arange(1.0, levels + 1)
    champion /= champion.sum()
    challenger = champion[::-1]
    p = np.concatenate([(1 - arms.pi) * champion, arms.pi * challenger])
    values = np.array(arms.levels)

    for side in Side:
        mean = p @ arms.outcomes(ratio, side)

        assert mean == pytest.approx(challenger @ values - ratio * champion @ values)


def test_the_spread_is_that_of_the_pseudo_outcome():
    arms = Arms(pi=0.05, centre=0.1, sd=0.3)
    p = np.array([0.95 * 0.9, 0.95 * 0.1, 0.05 * 0.9, 0.05 * 0.1])
    x = arms.outcomes(1.0, Side.ABOVE)

    assert arms.spread(1.0) == pytest.approx(math.sqrt(p @ x**2 - (p @ x) ** 2), rel=1e-9)


def test_a_frozen_covariate_narrows_the_interval_by_what_it_explains():
    """Y = X + noise with R^2 = 0.8 on levels: width falls by about sqrt(1 - R^2) = 0.45."""
    rng = np.random.default_rng(1)
    n, assigned = 40_000, np.arange(40_000) % 2
    x, noise = rng.integers(0, 5, n) - 2.0, rng.choice([-1.0, 0.0, 1.0], n) * 0.866
    y = x + noise

    def width(values):
        levels, bucket = np.unique(values.round(6), return_inverse=True)
        arms = Arms(
            levels=tuple(levels.tolist()),
            pi=0.5,
            centre=0.0,
            sd=float(values.std()),
            plan=Plan(n_star=n),
        )
        counts = np.zeros((2, len(levels)), dtype=np.int64)
        np.add.at(counts, (assigned, bucket), 1)
        found = confidence([Epoch(Difference(arms), counts)], alpha=0.05)
        assert found is not None
        return found.width

    explained = 1 - noise.var() / y.var()

    assert width(y - x) / width(y) == pytest.approx(math.sqrt(1 - explained), rel=0.05)


def test_estimates_are_the_plain_means_of_the_arms():
    counts = [[90, 10], [15, 5]]

    assert Difference(RATE).estimate(counts) == pytest.approx(0.25 - 0.1)
    assert Ratio(RATE).estimate(counts) == pytest.approx(2.5)
    assert Ratio(RATE).estimate([[10, 0], [10, 1]]) == math.inf
    assert Ratio(RATE).estimate([[10, 0], [10, 0]]) is None
    assert Difference(RATE).estimate([[10, 0], [0, 0]]) is None


def test_a_ratio_interval_is_not_cut_short_where_evidence_is_not_monotone():
    """The hull of a fine scan by brute force lies inside the interval."""
    epochs = [Epoch(Ratio(MONEY), [[900, 30, 40, 30], [46, 3, 1, 4]])]
    grid = np.geomspace(0.05, 20, 4_000)

    found = confidence(epochs, alpha=0.05)

    kept = [r for r in grid if all(log_e(epochs, r, side) < math.log(40) for side in Side)]
    assert found is not None
    assert found.lower <= min(kept)
    assert found.upper >= max(kept)
    assert found.lower == pytest.approx(min(kept), rel=0.01)
    assert found.upper == pytest.approx(max(kept), rel=0.01)


@pytest.mark.parametrize("side", list(Side))
def test_the_bound_of_a_ratio_takes_as_many_steps_whatever_was_counted(side):
    asked = []

    def account(epochs, effect, to):
        asked.append(np.size(effect))
        return log_e(epochs, effect, to)

    for scale in (1, 10**3, 10**6):
        asked.clear()
        counts = np.array([[900, 30, 40, 30], [46, 3, 1, 4]]) * scale
        bound([Epoch(Ratio(MONEY), counts)], side, alpha=0.05, account=account)
        assert len(asked) <= 20
        assert sum(asked) <= 51 + 19


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"pi": 0.0}, "pi"),
        ({"pi": 1.0}, "pi"),
        ({"pi": math.nan}, "pi"),
        ({"sd": 0.0}, "sd"),
        ({"sd": math.inf}, "sd"),
        ({"centre": 1.5}, "centre"),
        ({"centre": math.nan}, "centre"),
        ({"levels": (1.0,)}, "levels"),
        ({"levels": (1.0, 1.0), "centre": 1.0}, "levels"),
        ({"levels": ()}, "levels"),
        ({"high": (0.0, 0.5)}, "high"),
    ],
)
def test_a_parameter_outside_its_domain_is_named(change, argument):
    with pytest.raises(InputError) as refused:
        Arms(**{"pi": 0.5, "centre": 0.1, "sd": 0.3} | change)

    assert refused.value.argument == argument


def test_a_ratio_needs_a_metric_that_is_never_negative_and_a_champion_above_nothing():
    with pytest.raises(InputError, match="levels"):
        Ratio(Arms(levels=(-1.0, 1.0), pi=0.5, centre=0.5, sd=1))
    with pytest.raises(InputError, match="centre"):
        Ratio(Arms(pi=0.5, centre=0.0, sd=1))
