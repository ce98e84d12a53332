"""S8: audited means hold whatever the scorer, the ladder and the unresolved audits are."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy.stats import binom

from evidence.audited import LADDER, Audit, AuditedMean, shrunk_margin, spread
from evidence.bets import BoundedMean, Plan, mixed
from evidence.cells import Cells
from evidence.domain import InputError
from evidence.effects import Arms, Difference
from evidence.results import Side
from evidence.sequences import Epoch, bound, confidence, evidence, log_e

ALPHA = 0.05


@st.composite
def designs(draw):
    ladder = draw(st.sets(st.sampled_from(LADDER), min_size=1, max_size=4))
    predicted = draw(st.sets(st.integers(0, 16), min_size=1, max_size=4))
    return AuditedMean(
        ladder=tuple(sorted(ladder, reverse=True)),
        predicted=tuple(sorted(each / 16 for each in predicted)),
        sigma0=draw(st.floats(0.1, 5)),
        plan=Plan(n_star=draw(st.integers(1, 10_000))),
    )


@st.composite
def counted(draw, design):
    size = math.prod(design.shape)
    drawn = draw(st.lists(st.integers(0, 50), min_size=size, max_size=size))
    cells = np.array(drawn).reshape(design.shape)
    if design.ladder[0] == 1:
        cells[0, :, Audit.NONE] = 0
    return cells


@st.composite
def tables(draw, design, most):
    """One number from 1 to `most` for every stratum and level."""
    shape = design.shape[:2]
    size = math.prod(shape)
    drawn = draw(st.lists(st.integers(1, most), min_size=size, max_size=size))
    return np.array(drawn).reshape(shape)


@dataclass(frozen=True)
class World:
    """What happens to one unit: which stratum and level it falls into, and what is found there.

    `share` and `risk` have the shape (strata, levels); `silent` is the probability that the audit
    of a right and of a wrong unit stays unresolved.
    """

    design: AuditedMean
    share: ArrayLike
    risk: ArrayLike
    silent: tuple[float, float] = (0.0, 0.0)

    @property
    def mean(self) -> float:
        return float((np.array(self.share) * np.array(self.risk)).sum())

    @property
    def cells(self) -> np.ndarray:
        """Probability of every cell, shape (strata, levels, 4)."""
        pi = np.array(self.design.ladder)[:, None]
        share, risk = np.array(self.share), np.array(self.risk)
        right, wrong = share * pi * (1 - risk), share * pi * risk
        r, w = self.silent
        kinds = [share * (1 - pi), right * (1 - r), wrong * (1 - w), right * r + wrong * w]
        return np.stack(kinds, axis=-1)


def expected_e(worlds: Callable[[tuple[int, ...]], World], n: int, m: float, side: Side) -> float:
    """E[E_n] over every sequence of cells; the world may hang on what was seen before."""
    design = worlds(()).design

    def walk(seen: tuple[int, ...], chance: float) -> Iterator[tuple[float, np.ndarray]]:
        if len(seen) == n:
            yield chance, np.bincount(seen, minlength=math.prod(design.shape))
            return
        for cell, p in enumerate(worlds(seen).cells.ravel()):
            if p:
                yield from walk((*seen, cell), chance * float(p))

    chances, cells = zip(*walk((), 1.0), strict=True)
    looks = np.array(cells).reshape(-1, *design.shape)
    return float(np.array(chances) @ np.exp(log_e([Epoch(design, looks)], m, side)))


def null(ladder, predicted, share, risk, silent=(0.0, 0.0)) -> World:
    design = AuditedMean(ladder=ladder, predicted=predicted, sigma0=1.0, plan=Plan(n_star=4))
    return World(design, share, risk, silent)


NULLS = {
    "no scorer, all audited": null((1.0,), (0.0,), ((1.0,),), ((0.25,),)),
    "no scorer, two strata": null((0.5, 0.1), (0.0,), ((0.25,), (0.75,)), ((0.5,), (0.125,))),
    "a good scorer": null((0.5,), (0.125, 0.75), ((0.5, 0.5),), ((0.125, 0.75),)),
    "a scorer that is upside down": null((0.2,), (0.0, 1.0), ((0.5, 0.5),), ((1.0, 0.25),)),
    "strata and levels": null(
        (1.0, 0.5), (0.25, 0.5), ((0.25, 0.25), (0.25, 0.25)), ((0.5, 0.25), (0.0, 0.75))
    ),
}


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("name", NULLS)
def test_at_the_null_the_expected_e_value_is_one_by_enumeration(name, side):
    world = NULLS[name]
    n = 4 if np.count_nonzero(world.cells) <= 6 else 3

    found = expected_e(lambda _: world, n, world.mean, side)

    assert found == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("side", Side)
def test_the_ladder_may_follow_what_was_seen(side):
    careful, careless = (
        null((0.5, 0.1), (0.0, 0.5), share, ((0.5, 0.25), (0.25, 0.5)))
        for share in (((0.5, 0.5), (0.0, 0.0)), ((0.0, 0.0), (0.5, 0.5)))
    )
    found = expected_e(
        lambda seen: careful if any(cell % 4 == Audit.WRONG for cell in seen) else careless,
        4,
        careful.mean,
        side,
    )

    assert careful.mean == careless.mean
    assert found == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("silent", [(0.5, 0.0), (0.0, 0.5), (0.25, 0.75), (1.0, 1.0)])
def test_unresolved_audits_only_take_evidence_away(silent, side):
    world = null((0.5, 0.2), (0.25,), ((0.5,), (0.5,)), ((0.5,), (0.25,)), silent)

    found = expected_e(lambda _: world, 4, world.mean, side)

    hides_the_claim = silent[0] if side is Side.BELOW else silent[1]
    assert found <= 1 + 1e-12
    assert (found < 0.999) == (hides_the_claim > 0)


@given(st.data())
def test_merged_counts_give_the_evidence_of_all_units(data):
    design = data.draw(designs())
    left, right = (Cells(data.draw(counted(design))) for _ in range(2))
    m = data.draw(st.floats(0.01, 0.99))

    whole = log_e([Epoch(design, left + right)], m, Side.ABOVE)
    epochs = log_e([Epoch(design, left), Epoch(design, right)], m, Side.ABOVE)

    assert whole == pytest.approx(float(epochs), rel=1e-9, abs=1e-9)


@given(st.data())
def test_the_interval_lies_within_the_possible_losses_and_knows_its_estimate(data):
    design = data.draw(designs())
    cells = data.draw(counted(design))

    found = confidence([Epoch(design, cells)], alpha=ALPHA)

    estimate = design.estimate(cells)
    if found is None:  # more audits than the logged probabilities allow
        assert not 0 <= estimate <= 1
    else:
        assert 0 <= found.lower <= found.upper <= 1
        assert estimate is None or min(max(estimate, 0.0), 1.0) in found


@given(st.data())
def test_the_mean_of_psi_is_the_mean_loss_and_the_spread_its_standard_deviation(data):
    design = data.draw(designs())
    weights, risk = (data.draw(tables(design, most)) for most in (9, 8))
    world = World(design, weights / weights.sum(), risk / 8)

    psi, chance = design.ends[0], world.cells.ravel()

    assert chance @ psi == pytest.approx(world.mean, abs=1e-9)
    deviation = math.sqrt(chance @ (psi - world.mean) ** 2)
    assume(deviation > 1e-6)  # a world without errors, and a scorer that says so, has no spread
    assert spread(
        design.ladder, design.predicted, share=world.share, risk=world.risk
    ) == pytest.approx(deviation, rel=1e-9)


def test_a_hand_worked_ladder():
    design = AuditedMean(ladder=(0.5, 0.1), predicted=(0.0, 0.25), sigma0=1.0)

    low, high = (np.array(end).reshape(2, 2, 4) for end in design.psi_levels())

    assert low[0, 0].tolist() == [0.0, 0.0, 2.0, 0.0]
    assert low[0, 1].tolist() == [0.25, -0.25, 1.75, -0.25]
    assert low[1, 0].tolist() == [0.0, 0.0, 10.0, 0.0]
    assert low[1, 1].tolist() == [0.25, -2.25, 7.75, -2.25]
    assert (high[..., :3] == low[..., :3]).all()
    assert (high[..., Audit.UNRESOLVED] == low[..., Audit.WRONG]).all()


def test_when_everything_is_audited_it_is_the_plain_mean():
    plan = Plan(n_star=500)
    audited = AuditedMean(ladder=(1.0,), sigma0=0.3, plan=plan)
    plain = BoundedMean((0.0, 1.0), sigma0=0.3, plan=plan)

    for side in Side:
        ours = log_e([Epoch(audited, [[[0, 90, 10, 0]]])], 0.2, side)
        theirs = log_e([Epoch(plain, [90, 10])], 0.2, side)
        assert float(ours) == pytest.approx(float(theirs), rel=1e-12)


def test_an_unresolved_audit_counts_as_right_for_above_and_as_wrong_for_below():
    design = AuditedMean(ladder=(0.5, 0.1), predicted=(0.25,), sigma0=1.0)
    open_ = [[[50, 30, 20, 4]], [[500, 40, 5, 3]]]
    right = [[[50, 34, 20, 0]], [[500, 43, 5, 0]]]
    wrong = [[[50, 30, 24, 0]], [[500, 40, 8, 0]]]

    for side, settled in ((Side.ABOVE, right), (Side.BELOW, wrong)):
        assert log_e([Epoch(design, open_)], 0.2, side) == log_e(
            [Epoch(design, settled)], 0.2, side
        )
        ours, theirs = (
            bound([Epoch(design, each)], side, alpha=ALPHA) for each in (open_, settled)
        )
        assert ours == pytest.approx(theirs, abs=1e-8)
    middle = (design.estimate(right) + design.estimate(wrong)) / 2
    assert design.estimate(open_) == pytest.approx(middle)


def test_audits_that_come_more_often_than_logged_leave_no_loss_possible():
    design = AuditedMean(ladder=(0.1,), sigma0=1.0, plan=Plan(n_star=100))

    assert confidence([Epoch(design, [[[700, 50, 250, 0]]])], alpha=ALPHA) is None
    assert confidence([Epoch(design, [[[900, 50, 50, 0]]])], alpha=ALPHA) is not None


def test_the_evidence_names_units_estimate_and_assumption():
    design = AuditedMean(ladder=(0.5, 0.02), sigma0=1.0)

    found = evidence(
        [Epoch(design, [[[500, 350, 150, 0]], [[8820, 176, 4, 0]]])], 0.02, Side.ABOVE, alpha=ALPHA
    )

    assert (found.n, found.estimate, found.rejects) == (10_000, pytest.approx(0.05), True)
    assert "logged probability" in found.assumes[0]


def expected_width(ladder, predicted, share, risk, n=20_000) -> float:
    """Width of the interval when every cell holds what it should after `n` units."""
    sigma0 = spread(ladder, predicted, share=share, risk=risk)
    design = AuditedMean(ladder=ladder, predicted=predicted, sigma0=sigma0, plan=Plan(n_star=n))
    cells = np.rint(n * World(design, share, risk).cells).astype(int)
    return confidence([Epoch(design, cells)], alpha=ALPHA).width


def test_a_good_scorer_narrows_the_interval():
    share, risk = ((0.8, 0.2),), ((0.05, 0.8),)

    without = expected_width((0.1,), (0.0,), ((1.0,),), ((0.2,),))
    good = expected_width((0.1,), (0.05, 0.8), share, risk)
    useless = expected_width((0.1,), (0.2,), ((1.0,),), ((0.2,),))

    assert good < 0.75 * without
    assert good < 0.8 * useless


def test_a_higher_floor_narrows_the_interval_at_the_same_number_of_labels():
    share, risk = ((0.02,), (0.98,)), ((0.3,), (0.045,))

    low = expected_width((1.0, 0.01), (0.0,), share, risk)  # 0.0298 labels a unit
    high = expected_width((0.5, 0.02), (0.0,), share, risk)  # 0.0296

    assert high < 0.75 * low


def test_a_risk_weighted_audit_looked_at_after_every_unit_keeps_its_level():
    """Few risky units audited often, the many others at 2 %: where asymptotic sequences fail."""
    ladder, predicted = (0.5, 0.1, 0.02), (0.02, 0.1, 0.4)
    share = ((0.0, 0.0, 0.05), (0.0, 0.15, 0.0), (0.8, 0.0, 0.0))
    risk = ((0.0, 0.0, 0.4), (0.0, 0.1, 0.0), (0.035, 0.0, 0.0))
    sigma0 = spread(ladder, predicted, share=share, risk=risk)
    plan = Plan(n_star=2_000)
    design = AuditedMean(ladder=ladder, predicted=predicted, sigma0=sigma0, plan=plan)
    world, rng, runs, n = World(design, share, risk), np.random.default_rng(8), 200, 2_000
    one_hot = np.eye(world.cells.size, dtype=np.int64)

    crossed = np.zeros((runs, 2))
    for run in range(runs):
        drawn = rng.choice(world.cells.size, size=n, p=world.cells.ravel())
        looks = one_hot[drawn].cumsum(axis=0).reshape(n, *design.shape)
        for i, side in enumerate(Side):
            crossed[run, i] = mixed(design.log_wealth(looks, world.mean, side)).max()

    most = binom.ppf(0.9999, runs, ALPHA)
    assert (crossed >= -math.log(ALPHA)).sum(axis=0).max() <= most
    assert (crossed >= -math.log(ALPHA / 2)).any(axis=1).sum() <= most  # the interval ever misses
    assert (crossed > 0).any(axis=0).all()  # it does bet


def test_two_audited_arms_compose_to_a_difference():
    audits = AuditedMean(ladder=(0.5,), predicted=(0.25,), sigma0=1.0)
    low, high = audits.psi_levels()
    arms = Arms(levels=low, high=high, pi=0.5, centre=0.25, sd=1.0, plan=Plan(n_star=1_000))
    test = Difference(arms)
    units = [[500, 375, 125, 0], [500, 250, 250, 0]]

    found = evidence([Epoch(test, units)], 0.0, Side.ABOVE, alpha=ALPHA)

    assert found.estimate == pytest.approx(0.25)
    assert found.rejects
    assert (
        found.log_e
        > evidence(
            [Epoch(test, [units[0], [500, 250, 200, 50]])], 0.0, Side.ABOVE, alpha=ALPHA
        ).log_e
    )


@pytest.mark.parametrize(
    ("ladder", "predicted", "sigma0", "argument"),
    [
        ((), (0.0,), 1.0, "ladder"),
        ((0.3,), (0.0,), 1.0, "ladder"),
        ((0.5, 0.0), (0.0,), 1.0, "ladder"),
        ((0.1, 0.5), (0.0,), 1.0, "ladder"),
        ((0.5, 0.5), (0.0,), 1.0, "ladder"),
        ((0.5,), (), 1.0, "predicted"),
        ((0.5,), (-0.1,), 1.0, "predicted"),
        ((0.5,), (0.5, 1.1), 1.0, "predicted"),
        ((0.5,), (0.5, 0.2), 1.0, "predicted"),
        ((0.5,), (math.nan,), 1.0, "predicted"),
        ((0.5,), tuple(i / 16 for i in range(17)), 1.0, "predicted"),
        ((0.5,), (0.0,), 0.0, "sigma0"),
    ],
)
def test_a_design_outside_its_domain_is_refused_by_name(ladder, predicted, sigma0, argument):
    with pytest.raises(InputError) as refused:
        AuditedMean(ladder=ladder, predicted=predicted, sigma0=sigma0)

    assert refused.value.argument == argument


@pytest.mark.parametrize(
    "cells",
    [
        [[[1, 2, 3, 0]]],
        [[[0, 2, 3, -1]], [[0, 2, 3, 0]]],
        [[[1, 2, 3, 0]], [[5, 2, 3, 0]]],
        [[[0.0, 2.0, 3.0, 0.0]], [[5.0, 2.0, 3.0, 0.0]]],
    ],
)
def test_impossible_counts_are_refused(cells):
    design = AuditedMean(ladder=(1.0, 0.5), sigma0=1.0)

    with pytest.raises(InputError, match="cells"):
        log_e([Epoch(design, cells)], 0.1, Side.ABOVE)


@pytest.mark.parametrize(
    ("share", "risk", "argument"),
    [
        ([[0.5]], [[0.1]], "share"),
        ([[1.5], [-0.5]], [[0.1], [0.1]], "share"),
        ([[0.5], [0.5]], [[0.1], [1.1]], "risk"),
        ([[0.5], [0.5]], [[0.1], [math.nan]], "risk"),
        ([[0.5], [0.4]], [[0.1], [0.1]], "share"),
        ([[0.5], [0.5]], [[0.0], [0.0]], "risk"),
    ],
)
def test_a_plan_outside_its_domain_is_refused_by_name(share, risk, argument):
    with pytest.raises(InputError) as refused:
        spread((0.5, 0.1), (0.0,), share=share, risk=risk)

    assert refused.value.argument == argument


def test_label_error_shrinks_the_margin():
    assert shrunk_margin(0.02, 0.0) == 0.02
    assert shrunk_margin(0.02, 0.25) == 0.01
    for margin, eps in ((-0.01, 0.1), (math.nan, 0.1), (math.inf, 0.1), (0.01, 0.5), (0.01, -0.1)):
        with pytest.raises(InputError):
            shrunk_margin(margin, eps)
