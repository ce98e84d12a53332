"""S9: late labels. What may be said before they have matured stays true; the rest is not said."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from evidence.cells import Cells
from evidence.domain import InputError
from evidence.maturity import Maturity, arrival_test, coverage_test
from evidence.results import EVERYTHING, Evidence, NotYet, Side
from evidence.risks import EventShare, OneArmShare
from evidence.sequences import Epoch, log_e, log_e_both

ALPHA, GUARD, COVERAGE = 0.05, 0.01, 0.001
RUNS = 150
SOON = Maturity(enrolled=2_000, labelled=300)

counts = st.integers(0, 10_000)
maturities = st.builds(Maturity, counts, counts, counts, counts, counts)


@given(maturities, maturities, maturities)
def test_maturity_adds_in_any_order_and_its_empty_element_changes_nothing(a, b, c):
    assert (a + b) + c == a + (b + c) == c + b + a
    assert a + Maturity() == Maturity() + a == a


def test_shares_of_what_has_matured():
    found = Maturity(enrolled=1_000, labelled=450, missing=150, late=30, corrected=9)

    assert (found.matured, found.matured_share, found.labelled_share) == (600, 0.6, 0.75)
    assert (Maturity().matured_share, Maturity().labelled_share) == (None, None)


def test_more_than_two_percent_of_corrections_make_a_metric_invalid():
    assert not Maturity(labelled=1_000, corrected=20).invalid
    assert Maturity(labelled=1_000, missing=1_000, corrected=21).invalid
    assert Maturity(corrected=1).invalid
    assert not Maturity().invalid


@pytest.mark.parametrize("name", ["enrolled", "labelled", "missing", "late", "corrected"])
@pytest.mark.parametrize("value", [-1, 0.5])
def test_impossible_numbers_of_units_are_refused_by_name(name, value):
    with pytest.raises(InputError) as refused:
        Maturity(**{name: value})

    assert refused.value.argument == name


@dataclass(frozen=True)
class Law:
    """The joint law of outcome and delay in one arm: risk, and mean delay without and with it."""

    risk: float
    delay: tuple[float, float]


THRESHOLDS = (200.0, 800.0)  # delays are in units that enrol meanwhile
FAST_BAD_NEWS = Law(0.05, (2_000.0, 200.0))


def looks(rng: np.random.Generator, champion: Law, challenger: Law, n: int, every: int):
    """Counts of arrived labels at every look, (looks, delays, 2, 2), under an even split."""
    arm = rng.random(n) < 0.5
    risk = np.where(arm, challenger.risk, champion.risk)
    bad = (rng.random(n) < risk).astype(int)
    mean = np.where(arm, np.array(challenger.delay)[bad], np.array(champion.delay)[bad])
    delay = rng.exponential(mean)
    cell = (np.searchsorted(THRESHOLDS, delay) * 2 + bad) * 2 + arm
    look = np.ceil((np.arange(n) + delay) / every).astype(int)
    size, last = 4 * (len(THRESHOLDS) + 1), n // every
    seen = look <= last
    found = np.bincount(look[seen] * size + cell[seen], minlength=(last + 1) * size)
    return found.reshape(last + 1, -1, 2, 2).cumsum(axis=0)[1:]


Answer = Evidence | NotYet


def decided(found: Answer) -> bool:
    return isinstance(found, NotYet) or found.rejects


def followed(
    champion: Law, challenger: Law, side: Side, guard_alpha: float = GUARD
) -> list[Answer | None]:
    """The first answer of each run that decides, of 30 looks while labels come in."""
    rng = np.random.default_rng(9)
    found: list[Answer | None] = []
    for _ in range(RUNS):
        each = looks(rng, champion, challenger, 6_000, 200)
        answers = (
            arrival_test(
                [Epoch(EventShare(pi=0.5), cells)],
                SOON,
                side,
                alpha=ALPHA,
                guard_alpha=guard_alpha,
            )
            for cells in each
        )
        found.append(next(filter(decided, answers), None))
    return found


def rejections(answers: list[Answer | None]) -> int:
    return sum(isinstance(found, Evidence) for found in answers)


def suppressions(answers: list[Answer | None]) -> int:
    return sum(isinstance(found, NotYet) for found in answers)


@pytest.mark.parametrize("side", Side)
def test_a_delay_that_hangs_on_the_outcome_leaves_the_early_test_valid(side):
    """Levels of what has arrived are far off here: 5 % look like 10 %."""
    rng = np.random.default_rng(1)
    early = looks(rng, FAST_BAD_NEWS, FAST_BAD_NEWS, 4_000, 400)[4].sum(axis=0)

    found = followed(FAST_BAD_NEWS, FAST_BAD_NEWS, side)

    assert early[1].sum() / early.sum() > 0.08
    assert rejections(found) <= binom.ppf(0.9999, RUNS, ALPHA)
    assert suppressions(found) <= binom.ppf(0.9999, RUNS, GUARD)


def test_harm_is_told_early_even_where_bad_news_travels_fast():
    found = followed(FAST_BAD_NEWS, Law(0.1, FAST_BAD_NEWS.delay), Side.ABOVE)

    assert rejections(found) >= 0.95 * RUNS


@pytest.mark.parametrize("slower", [Side.ABOVE, Side.BELOW])
def test_a_delay_that_hangs_on_the_arm_suppresses_the_early_test(slower):
    """The slower arm seems to have fewer events; without the guard that is often "proven"."""
    quick, slow = Law(0.05, (1_000.0, 1_000.0)), Law(0.05, (3_000.0, 3_000.0))
    arms = (quick, slow) if slower is Side.BELOW else (slow, quick)

    guarded = followed(*arms, slower)
    unguarded = followed(*arms, slower, guard_alpha=1e-200)

    assert suppressions(guarded) >= 0.95 * RUNS
    assert rejections(unguarded) > 0.5 * RUNS


def test_the_suppressed_test_says_what_it_waits_for():
    labels = [[[400, 200], [20, 10]], [[100, 300], [5, 15]]]
    split = [Epoch(EventShare(pi=0.5), labels)]

    found = arrival_test(split, SOON, Side.BELOW, alpha=ALPHA, guard_alpha=GUARD)

    assert isinstance(found, NotYet)
    assert (found.have, found.need) == (300, 2_000)
    assert "faster" in found.why


@pytest.mark.parametrize("side", Side)
def test_the_early_test_is_the_share_of_the_arrived_events_and_tells_no_level(side):
    share, labels = EventShare(pi=0.5), [[[40, 42], [10, 30]], [[100, 98], [5, 15]]]

    found = arrival_test([Epoch(share, labels)], SOON, side, alpha=ALPHA, guard_alpha=GUARD)

    assert isinstance(found, Evidence)
    assert found.log_e == pytest.approx(float(log_e([Epoch(share, [15, 45])], 1.0, side)))
    assert (found.n, found.estimate, found.rejects) == (60, None, side is Side.ABOVE)
    assert (found.interval.lower, found.interval.upper) == (0.0, math.inf)


def test_fast_labels_that_are_all_bad_news_are_harm_and_no_delay():
    labels = [[[40, 42], [100, 200]], [[900, 860], [5, 10]]]

    found = arrival_test(
        [Epoch(EventShare(pi=0.5), labels)], SOON, Side.ABOVE, alpha=ALPHA, guard_alpha=GUARD
    )

    assert isinstance(found, Evidence)
    assert found.rejects


def test_the_guard_is_the_average_over_both_sides_of_every_threshold():
    plain = np.array([[30, 40], [60, 40], [90, 140]])
    labels = np.stack([plain, np.zeros_like(plain)], axis=1)
    parts = [[30, 40], [90, 80], [150, 180], [90, 140]]
    share = EventShare(pi=0.4)
    guard = np.log(np.mean([np.exp(log_e_both([Epoch(share, part)], 1.0)) for part in parts]))

    for above, suppressed in ((1e-9, True), (-1e-9, False)):
        level = math.exp(-guard + above)
        found = arrival_test(
            [Epoch(share, labels)], SOON, Side.ABOVE, alpha=ALPHA, guard_alpha=level
        )
        assert isinstance(found, NotYet) == suppressed


@pytest.mark.parametrize("missing", [0.25, 0.5])
def test_equal_coverage_has_the_expected_e_value_of_one_by_enumeration(missing):
    """Four units in two epochs with different assignment."""
    arms = (0.5, 0.25)
    cells = list(itertools.product((0, 1), (0, 1)))  # labelled?, challenger?
    total = 0.0
    for path in itertools.product(cells, repeat=4):
        chance, counted = 1.0, np.zeros((2, 2, 2), dtype=int)
        for i, (labelled, arm) in enumerate(path):
            pi = arms[i // 2]
            chance *= (1 - missing if labelled else missing) * (pi if arm else 1 - pi)
            counted[i // 2, labelled, arm] += 1
        epochs = [Epoch(EventShare(pi=pi), each) for pi, each in zip(arms, counted, strict=True)]
        total += chance * math.exp(coverage_test(epochs, alpha=COVERAGE).log_e)

    assert total == pytest.approx(1.0, abs=1e-12)


def test_coverage_may_drift_while_the_ramp_grows():
    """Pooled over the ramp the arms' coverage would differ: 20 % against 5.8 % missing."""
    epochs = [
        Epoch(EventShare(pi=0.01), [[1_980, 20], [7_920, 80]]),
        Epoch(EventShare(pi=0.5), [[250, 250], [4_750, 4_750]]),
    ]

    found = coverage_test(epochs, alpha=COVERAGE)

    assert found.log_e < 0
    assert (found.n, found.estimate, found.interval.upper) == (20_000, None, EVERYTHING.upper)


@pytest.mark.parametrize(
    "cells",
    [
        [[100, 200], [9_900, 9_800]],  # few are missing: they speak
        [[200, 100], [9_800, 9_900]],
        [[9_900, 9_800], [100, 200]],  # few have a label: those speak
    ],
)
def test_coverage_that_differs_by_arm_is_found(cells):
    assert coverage_test([Epoch(EventShare(pi=0.5), cells)], alpha=COVERAGE).rejects


def test_no_units_say_nothing():
    share = EventShare(pi=0.3)

    early = arrival_test(
        [Epoch(share, np.zeros((2, 2, 2), dtype=int)), Epoch(share, Cells())],
        Maturity(),
        Side.ABOVE,
        alpha=ALPHA,
        guard_alpha=GUARD,
    )

    assert isinstance(early, Evidence)
    assert (early.n, early.log_e) == (0, pytest.approx(0))
    assert coverage_test([Epoch(share, Cells())], alpha=COVERAGE).log_e == pytest.approx(0)


@pytest.mark.parametrize(
    "epochs",
    [
        [],
        [Epoch(EventShare(pi=0.5), Cells())],
        [Epoch(EventShare(pi=0.5), [[[1, 2], [3, 4]]])],
        [Epoch(EventShare(pi=0.5), [[1, 2], [3, 4], [5, 6]])],
        [Epoch(EventShare(pi=0.5), np.zeros((2, 2, 2, 2), dtype=int))],
        [Epoch(EventShare(pi=0.5), -np.ones((2, 2, 2), dtype=int))],
        [Epoch(OneArmShare(), np.ones((2, 2, 2), dtype=int))],
    ],
)
def test_arrivals_outside_their_domain_are_refused(epochs):
    with pytest.raises(InputError):
        arrival_test(epochs, SOON, Side.ABOVE, alpha=ALPHA, guard_alpha=GUARD)


@pytest.mark.parametrize(
    "epochs",
    [
        [],
        [Epoch(EventShare(pi=0.5), [1, 2])],
        [Epoch(EventShare(pi=0.5), [[[1, 2], [3, 4]]])],
        [Epoch(OneArmShare(), [[1, 2], [3, 4]])],
    ],
)
def test_coverage_outside_its_domain_is_refused(epochs):
    with pytest.raises(InputError):
        coverage_test(epochs, alpha=COVERAGE)


@pytest.mark.parametrize(("alpha", "guard_alpha"), [(0.0, 0.5), (0.5, 0.0), (1.0, 0.5), (0.5, 1.0)])
def test_levels_outside_their_domain_are_refused(alpha, guard_alpha):
    epochs = [Epoch(EventShare(pi=0.5), np.ones((2, 2, 2), dtype=int))]

    with pytest.raises(InputError, match="alpha"):
        arrival_test(epochs, SOON, Side.ABOVE, alpha=alpha, guard_alpha=guard_alpha)
