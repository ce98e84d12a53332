"""What no simulation can show: E[E_n] = 1 to rounding, and crossing probabilities by lattice."""

import numpy as np
import pytest

from evidence.bets import BoundedMean, Plan, mixed
from evidence.effects import Arms, Difference, Ratio
from evidence.paired import PairedDifference, PairedRatio, Pairs
from evidence.results import Side
from evidence.risks import EventShare, OneArmShare
from evidence.sequences import Epoch, log_e_both, log_e_late
from evidence.shares import Beta, log_e_share, log_e_split
from tests.evidence.exact import LogE, crossing, expectation, histories

PLAN = Plan(n_star=10)


def of(statistic, effect, side) -> LogE:
    """log E of a statistic on flat counts."""
    return lambda counts: mixed(
        statistic.log_wealth(counts.reshape(-1, *statistic.shape), effect, side)
    )


def arms(pi, p):
    return Arms(pi=pi, centre=p, sd=(p * (1 - p)) ** 0.5, plan=PLAN)


def assigned(pi, champion, challenger):
    """Cell probabilities of two arms with a 0/1 outcome."""
    return [
        (1 - pi) * (1 - champion),
        (1 - pi) * champion,
        pi * (1 - challenger),
        pi * challenger,
    ]


NULLS = {
    **{
        f"mean of three outcomes at {m}": (BoundedMean((-1.0, 0.0, 2.0), 1.0, PLAN), m, p)
        for m, p in {0.0: (0.4, 0.4, 0.2), 0.5: (0.3, 0.3, 0.4), -0.7: (0.8, 0.15, 0.05)}.items()
    },
    **{
        f"difference of {d} at pi {pi}": (
            Difference(arms(pi, 0.25)), d, assigned(pi, 0.25, 0.25 + d),
        )
        for d in (0.0, 0.125, -0.2)
        for pi in (0.5, 0.05)
    },
    **{
        f"ratio of {r} at pi {pi}": (Ratio(arms(pi, 0.25)), r, assigned(pi, 0.25, 0.25 * r))
        for r in (1.0, 1.5, 0.8)
        for pi in (0.5, 0.05)
    },
    **{
        f"paired difference of {d}": (
            PairedDifference(Pairs(sigma0=0.5, plan=PLAN)),
            d,
            (0.2 + d / 2, 0.2 - d / 2, 0.1, 0.5, 0.0),
        )
        for d in (0.0, 0.1, -0.25)
    },
    "paired difference, half of the pairs audited": (
        PairedDifference(Pairs(q=(0.5,), sigma0=0.7, plan=PLAN)), 0.05,
        (0.125, 0.1, 0.05, 0.725, 0.0),
    ),
    "paired ratio, agreements audited with q = 1/4": (
        PairedRatio(Pairs(q=(1.0, 0.25), sigma0=0.7, plan=PLAN)), 1.5,
        (0.35, 0.20, 0.0, 0.20, 0.0, 0.0, 0.0, 0.1 / 4, 0.25 - 0.1 / 4, 0.0),
    ),
    "event share at a ratio of 1.5": (EventShare(pi=0.1), 1.5, (0.9 / 1.05, 0.15 / 1.05)),
    "event share at a ratio of 1": (EventShare(pi=0.5), 1.0, (0.5, 0.5)),
    "ceiling of 8 %": (OneArmShare(), 0.08, (0.92, 0.08)),
}  # fmt: skip


def live(p):
    """Cells that never happen are left out of the lattice."""
    kept = [i for i, each in enumerate(p) if each > 0]
    return kept, [p[i] for i in kept]


def widened(log_e, kept, cells):
    def on_all(counts):
        whole = np.zeros((len(counts), cells), dtype=np.int64)
        whole[:, kept] = counts
        return log_e(whole)

    return on_all


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("name", NULLS)
def test_wealth_is_worth_one_on_average_at_the_null(name, side):
    statistic, effect, p = NULLS[name]
    kept, probabilities = live(p)
    log_e = widened(of(statistic, effect, side), kept, len(p))
    most = 12 if len(kept) <= 4 else 7

    values = [expectation(log_e, probabilities, n) for n in range(most + 1)]

    assert values == pytest.approx([1.0] * (most + 1), abs=1e-9)


@pytest.mark.parametrize("p0", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("prior", [Beta(), Beta(2.0, 98.0)])
def test_a_beta_mixture_is_worth_one_on_average(p0, prior):
    def log_e(counts):
        return log_e_share(counts[:, 1], counts.sum(axis=1), p0, None, prior)

    assert expectation(log_e, (1 - p0, p0), 12) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("truth", [0.05, 0.2, 0.3])
def test_a_one_sided_beta_mixture_is_worth_at_most_one_anywhere_in_its_null(truth):
    def log_e(counts):
        return log_e_share(counts[:, 1], counts.sum(axis=1), 0.3, Side.ABOVE)

    values = [expectation(log_e, (1 - truth, truth), n) for n in range(13)]

    assert max(values) <= 1 + 1e-9
    assert values[0] == pytest.approx(1.0)


def test_the_split_of_three_arms_is_worth_one_on_average_over_two_epochs():
    shares = ([0.8, 0.1, 0.1], [0.5, 0.25, 0.25])

    def log_e(counts):  # the units of the first epoch, then those of the second
        return log_e_split([counts[:, :3], counts[:, 3:]], shares)

    first = expectation(lambda c: log_e_split([c], shares[:1]), shares[0], 6)
    both = sum(
        expectation(
            lambda later, earlier=earlier: log_e(
                np.column_stack([np.broadcast_to(earlier, later.shape), later])
            ),
            shares[1],
            4,
        )
        * weight
        for earlier, weight in _weighted(shares[0], 4)
    )

    assert first == pytest.approx(1.0, abs=1e-9)
    assert both == pytest.approx(1.0, abs=1e-9)


def _weighted(p, n):
    """Every history of n units with its probability."""
    for counts in histories(n, len(p)):
        yield (
            counts,
            expectation(
                lambda c, counts=counts: np.where((c == counts).all(axis=1), 0.0, -np.inf), p, n
            ),
        )


def test_the_mixture_over_start_epochs_is_worth_one_on_average():
    earlier, later = Difference(arms(0.25, 0.25)), Difference(arms(0.5, 0.25))
    p = assigned(0.25, 0.25, 0.25), assigned(0.5, 0.25, 0.25)

    def log_e(first, second):
        epochs = [Epoch(earlier, first.reshape(2, 2)), Epoch(later, second.reshape(-1, 2, 2))]
        return log_e_late(epochs, 0.0, Side.ABOVE)

    worth = sum(
        weight * expectation(lambda second, first=first: log_e(first, second), p[1], 4)
        for first, weight in _weighted(p[0], 4)
    )

    assert worth == pytest.approx(1.0, abs=1e-9)


def test_both_sides_at_half_weight_are_worth_one_on_average():
    coin = BoundedMean((0.0, 1.0), 0.5, PLAN)

    worth = expectation(lambda c: log_e_both([Epoch(coin, c)], 0.3), (0.7, 0.3), 12)

    assert worth == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("n", "stored"), [(100, 0.0311), (1_000, 0.0365), (5_000, 0.0382)])
def test_the_crossing_probability_of_a_fair_split_is_what_the_lattice_says(n, stored):
    alive, crossed = np.ones(1), 0.0

    for now in range(1, n + 1):
        alive = np.convolve(alive, [0.5, 0.5])
        hit = log_e_share(np.arange(now + 1), np.full(now + 1, now), 0.5) >= np.log(20)
        crossed += alive[hit].sum()
        alive[hit] = 0.0

    assert crossed <= 0.05
    assert crossed == pytest.approx(stored, abs=5e-5)


@pytest.mark.parametrize(
    ("pi", "p", "d", "side", "least"),
    [
        (0.5, 0.3, 0.0, Side.ABOVE, 0.01),
        (0.1, 0.1, 0.0, Side.ABOVE, 0.002),
        (0.5, 0.3, 0.1, Side.BELOW, 0.01),
    ],
)
def test_a_difference_of_two_arms_crosses_at_most_at_its_level_by_lattice(pi, p, d, side, least):
    statistic = Difference(Arms(pi=pi, centre=p, sd=(p * (1 - p)) ** 0.5, plan=Plan(n_star=100)))

    crossed = crossing(of(statistic, d, side), assigned(pi, p, p + d), 100, 0.05)

    assert least < crossed <= 0.05


@pytest.mark.parametrize("effect", [1.0, 1.5])
def test_an_event_share_crosses_at_most_at_its_level_by_lattice(effect):
    share = 0.1 * effect / (0.1 * effect + 0.9)

    crossed = crossing(of(EventShare(pi=0.1), effect, Side.ABOVE), (1 - share, share), 2_000, 0.05)

    assert 0.01 < crossed <= 0.05


def test_peeking_at_a_binomial_test_fails_the_same_lattice():
    """The lattice can see: a naive z-test at 5 % crosses far above its level."""

    def z_test(counts):
        n = counts.sum(axis=1)
        z = np.abs(counts[:, 1] - n / 2) / np.sqrt(n / 4)
        return np.where((z >= 1.96) & (n >= 20), 10.0, 0.0)

    assert crossing(z_test, (0.5, 0.5), 1_000, 0.05) > 0.3
