"""Rules 14, 16 and 17: pairs that are sampled, labels that err, and how many labels it takes."""

import math

import numpy as np
import pytest

from benchmarks.simulation import cumulative, looks, most, simulate
from evidence.audited import shrunk_margin
from evidence.bets import Plan
from evidence.decision import Question
from evidence.paired import Pair, PairedDifference, Pairs, spread
from evidence.planning import forecast, sd_paired
from evidence.results import Side
from evidence.sequences import Epoch, log_e
from evidence.shares import log_e_share
from tests.stats.variants import THRESHOLD, ever, rates

pytestmark = pytest.mark.stats


def superior(challenger_wrong, champion_wrong):
    """Sequential McNemar at every look: whether the challenger is better."""
    n = challenger_wrong + champion_wrong
    return log_e_share(challenger_wrong, n, 0.5, Side.BELOW) >= THRESHOLD


def test_weights_do_not_enter_a_share_but_they_enter_a_mean(replicates):
    """Design: 22 % false superiority.  Here: 1,000 disagreements, in each of two equal strata; the
    challenger wins 58 % of the first, which is audited whole, and 42 % of the second, audited at
    1/3: equal versions. Ours: only items with u < 1/3; and the mean of D / q."""
    n, q, better = 1_000, (1.0, 1 / 3), 0.08
    test = PairedDifference(Pairs(q=q, sigma0=spread([0.5, 0.5], q), plan=Plan(n_star=n)))

    def path(rng):
        stratum, u = rng.integers(0, 2, n), rng.random(n)
        wrong = rng.random(n) < np.where(stratum == 0, 0.5 - better, 0.5 + better)
        audited = u < np.array(q)[stratum]
        verdict = np.where(wrong, Pair.CHALLENGER_WRONG, Pair.CHAMPION_WRONG)
        cell = len(Pair) * stratum + np.where(audited, verdict, Pair.EQUAL)
        cells = cumulative(cell, test.shape, looks(n, 5))
        alike = u < min(q)
        return (
            superior(np.cumsum(audited & wrong), np.cumsum(audited & ~wrong)).any(),
            superior(np.cumsum(alike & wrong), np.cumsum(alike & ~wrong)).any(),
            ever([test], [cells], 0.0, Side.BELOW),
        )

    naive, *ours = rates(path, replicates, seed=141)

    assert 0.15 <= naive.share <= 0.30, str(naive)
    assert all(each.hits <= most(replicates) for each in ours), [*map(str, ours)]


def test_where_auditors_err_only_the_shrunk_margin_keeps_its_level(replicates):
    """Design: no figure.  Here: 20,000 pairs, 6 % disagree, the challenger is worse by exactly the
    margin of two points, and one label in ten is wrong: the labels show 1.6 points."""
    n, disagree, margin, eps = 20_000, 0.06, 0.02, 0.1
    test = PairedDifference(Pairs(sigma0=math.sqrt(disagree), plan=Plan(n_star=n)))
    question = Question(limit=margin, safe_limit=shrunk_margin(margin, eps))

    def path(rng):
        wrong = rng.random(n) < (1 + margin / disagree) / 2
        labelled = np.where(
            wrong ^ (rng.random(n) < eps), Pair.CHALLENGER_WRONG, Pair.CHAMPION_WRONG
        )
        cell = np.where(rng.random(n) < disagree, labelled, Pair.EQUAL)
        cells = cumulative(cell, test.shape, looks(n, 10))
        limits = (question.limit, question.to_exclude)
        return [ever([test], [cells], limit, Side.BELOW) for limit in limits]

    naive, ours = rates(path, replicates, seed=161)

    assert 0.25 <= naive.share <= 0.55, str(naive)
    assert ours.hits <= most(replicates), str(ours)


LABELS = 4_000  # of disagreements, at which a run ends undecided


def needed(rng, *, gain, margin=None):
    """Labels to a decision at 6 % disagreement, all of it labelled, with a look at each label.

    Superiority without a margin; else that the challenger is not worse by `margin`, over all
    pairs, with bets planned by `forecast`.
    """
    disagree = 0.06
    wrong = rng.random(LABELS) < (1 - gain / disagree) / 2
    lost, won = np.cumsum(wrong), np.cumsum(~wrong)
    if margin is None:
        return decided(superior(lost, won))
    agreed = np.cumsum(rng.geometric(disagree, LABELS) - 1)
    none = np.zeros(LABELS, dtype=int)
    cells = np.stack([lost, won, none, agreed, none], axis=-1)[:, None, :]
    sd = sd_paired(disagree, gain)
    plan = Plan(n_star=forecast(margin + gain, sd, units_per_day=1).n_star)
    test = PairedDifference(Pairs(sigma0=sd, plan=plan))
    return decided(log_e([Epoch(test, cells)], margin, Side.BELOW) >= THRESHOLD)


def decided(said):
    return 1 + int(np.argmax(said)) if said.any() else math.inf


@pytest.mark.parametrize(
    ("gain", "margin", "median", "ninety"),
    [
        (0.01, None, (224, 280), (511, 677)),
        (0.0, 0.01, (270, 270), (550, 550)),
        (0.0, 0.005, (840, 980), (1_840, 2_130)),
    ],
    ids=["a point better", "equal, margin a point", "equal, margin half a point"],
)
def test_labels_to_a_decision_at_six_percent_disagreement(gain, margin, median, ninety, replicates):
    """Design: these medians and 90 % points, here within 25 %."""
    found = simulate(lambda rng: needed(rng, gain=gain, margin=margin), replicates, seed=171)

    for level, (low, high) in ((50, median), (90, ninety)):
        assert 0.75 * low <= np.percentile(found, level) <= 1.25 * high
