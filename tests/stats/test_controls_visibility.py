"""Rule 3: when a result becomes visible must not hang on what it is."""

import numpy as np
import pytest

from benchmarks.simulation import cumulative, looks, most, says
from evidence.audited import Audit, AuditedMean
from evidence.bets import Plan
from evidence.paired import Pair, PairedDifference, Pairs
from evidence.results import Side
from evidence.sequences import Epoch
from evidence.shares import log_e_share
from tests.stats.variants import THRESHOLD, rates

pytestmark = pytest.mark.stats


def late(happened: np.ndarray, delay: int) -> np.ndarray:
    """How many of `happened` are visible at each look, each `delay` looks after it happened."""
    seen = np.cumsum(happened)
    return np.concatenate([np.zeros(delay, dtype=int), seen[: len(seen) - delay]])


@pytest.mark.parametrize(
    ("delay", "least", "greatest"), [(20, 0.04, 0.14), (50, 0.18, 0.36), (100, 0.98, 1.0)]
)
def test_wrong_audits_that_come_late_look_safe_unless_all_come_at_one_age(
    delay, least, greatest, replicates
):
    """Design: 8, 29 and 100 %.  Here: 1,000 audits of a model exactly at its ceiling of 5 %, a look
    at each (S2 on the share of wrong ones). At a fixed age of 60 audits, those that are wrong only
    after 100 are unresolved, which for safe is wrong."""
    n, ceiling, age = 1_000, 0.05, 60
    fixed = AuditedMean(ladder=(1.0,), sigma0=0.22, plan=Plan(n_star=n))
    verdict = Audit.WRONG if delay <= age else Audit.UNRESOLVED

    def path(rng):
        wrong = rng.random(n) < ceiling
        bad = late(wrong, delay)
        naive = log_e_share(bad, bad + np.cumsum(~wrong), ceiling, Side.BELOW) >= THRESHOLD
        cells = cumulative(np.where(wrong, verdict, Audit.RIGHT), fixed.shape, looks(n, 5))
        return naive.any(), says([Epoch(fixed, cells)], ceiling, Side.BELOW).any()

    naive, ours = rates(path, replicates, seed=31)

    assert least <= naive.share <= greatest, str(naive)
    assert ours.hits <= most(replicates), str(ours)


@pytest.mark.parametrize(("delay", "least", "greatest"), [(10, 0.38, 0.62), (20, 0.94, 1.0)])
def test_challenger_errors_that_come_late_look_superior_unless_all_come_at_one_age(
    delay, least, greatest, replicates
):
    """Design: 45 and 98 %.  Here: 500 disagreements, each model wrong in half, a look at each
    label. At a fixed age of 15 labels what needs 20 is unresolved: the challenger's error."""
    n, age = 500, 15
    fixed = PairedDifference(Pairs(sigma0=1.0, plan=Plan(n_star=n)))
    verdict = Pair.CHALLENGER_WRONG if delay <= age else Pair.UNRESOLVED

    def path(rng):
        challenger = rng.random(n) < 0.5
        bad = late(challenger, delay)
        good = np.cumsum(~challenger)
        naive = log_e_share(bad, bad + good, 0.5, Side.BELOW) >= THRESHOLD
        aged = log_e_share(np.cumsum(challenger), looks(n), 0.5, Side.BELOW) >= THRESHOLD
        cells = cumulative(np.where(challenger, verdict, Pair.CHAMPION_WRONG), (1, 5), looks(n))
        sized = says([Epoch(fixed, cells)], 0.0, Side.BELOW)
        return naive.any(), aged.any(), sized.any()

    naive, *ours = rates(path, replicates, seed=32)

    assert least <= naive.share <= greatest, str(naive)
    assert all(each.hits <= most(replicates) for each in ours), [*map(str, ours)]
