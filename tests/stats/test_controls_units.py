"""Rule 11 and section 0: one unit, one value."""

import math

import pytest

from benchmarks.simulation import cumulative, looks, most
from evidence.bets import Plan
from evidence.decision import Question
from evidence.effects import Arms, Difference
from evidence.results import Side
from evidence.sequences import Epoch, log_e
from tests.stats.variants import THRESHOLD, ever, rates

pytestmark = pytest.mark.stats

BAD, GOOD = 0.1, 0.9  # of the beta law of a unit's own error rate: mean 10 %, correlation 1/2
MEAN, SD = 0.1, 0.3


def test_later_values_of_the_same_units_are_no_fresh_units(replicates):
    """Design: 15 % false harm.  Here: 2,000 units, half with the challenger, ten periods with one
    value of each; equal versions, but a unit that errs tends to err again. Multiplied, each period
    counts the same luck of the draw once more; ours has one account a period, at alpha v_k."""
    n, periods, pi = 2_000, 10, 0.5
    test = Difference(Arms(pi=pi, centre=MEAN, sd=SD, plan=Plan(n_star=n)))
    question = Question(limit=0.0, periodic=True)

    def path(rng):
        arm, risk = rng.random(n) < pi, rng.beta(BAD, GOOD, n)
        counts = [
            cumulative(arm * 2 + (rng.random(n) < risk), (2, 2), looks(n, 20))
            for _ in range(periods)
        ]
        ours = any(
            (log_e([Epoch(test, each)], 0.0, Side.ABOVE) + math.log(question.share(k))).max()
            >= THRESHOLD
            for k, each in enumerate(counts, 1)
        )
        return ever([test] * periods, counts, 0.0, Side.ABOVE), ours

    naive, ours = rates(path, replicates, seed=111)

    assert 0.09 <= naive.share <= 0.22, str(naive)
    assert ours.hits <= most(replicates), str(ours)


def test_events_of_sticky_users_are_no_units(replicates):
    """Design: ~21 % false alarms.  Here: 1,000 users of equal versions, 20 events each, in any
    order. Ours takes one value per user: the mean of his 20."""
    users, events, pi = 1_000, 20, 0.5
    own = SD * math.sqrt(0.5 + 0.5 / events)
    by_event = Difference(Arms(pi=pi, centre=MEAN, sd=SD, plan=Plan(n_star=users * events)))
    means = tuple(k / events for k in range(events + 1))
    by_user = Difference(Arms(levels=means, pi=pi, centre=MEAN, sd=own, plan=Plan(n_star=users)))

    def path(rng):
        arm = rng.random(users) < pi
        bad = rng.random((users, events)) < rng.beta(BAD, GOOD, users)[:, None]
        each = rng.permutation((arm[:, None] * 2 + bad).ravel())
        one = arm * (events + 1) + bad.sum(axis=1)
        naive = cumulative(each, by_event.shape, looks(len(each), 20))
        ours = cumulative(one, by_user.shape, looks(users, 4))
        return (
            ever([by_event], [naive], 0.0, Side.ABOVE),
            ever([by_user], [ours], 0.0, Side.ABOVE),
        )

    naive, ours = rates(path, replicates, seed=4)

    assert 0.14 <= naive.share <= 0.29, str(naive)
    assert ours.hits <= most(replicates), str(ours)
