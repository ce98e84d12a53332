"""Rules 3, 14 and 15 for single audits: the judge's own verdict on audited arms."""

import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks.simulation import most
from evidence.decision import Question, Verdict, split_alpha
from evidence.decision import judge as decide
from evidence.effects import Arms, Difference
from evidence.sequences import Epoch
from rollout.cells import EVERYWHERE, SPLIT
from rollout.judge import judge
from rollout.looks import Look
from tests.rollout.counting import epochs
from tests.rollout.test_judge import named

pytestmark = pytest.mark.stats

RUNS, LOOKS, STEP = 60, 4, 8_000
CANARY = epochs(expects_pairs=False)[1]
_, BLUNDERS = named(CANARY, "blunders")
MARGIN, SHARES = 0.05, np.array([0.5, 0.3, 0.2])
RARELY = replace(
    BLUNDERS, q=(1.0, 0.1), levels=(0, 0, 1, 0, 0, 0, 10, 0), high=(0, 0, 1, 1, 0, 0, 10, 10),
    sd=0.7,
)  # fmt: skip
EPOCH = replace(CANARY, metrics=(RARELY,), slices=(), self_check=False)


def looks(rng, risk):
    """Cells of (arm, stratum, none/right/wrong/unresolved), of `risk` by arm and stratum."""
    cells = np.zeros((3, 2, 4), np.int64)
    for _ in range(LOOKS):
        for arm, n in enumerate(rng.multinomial(STEP, SHARES)):
            for stratum, there in enumerate(rng.multinomial(n, [0.1, 0.9])):
                looked = rng.binomial(there, (1.0, 0.1)[stratum])
                wrong = rng.binomial(looked, risk[arm][stratum])
                cells[arm, stratum] += (there - looked, looked - wrong, wrong, 0)
        yield cells.copy()


def ours(cells):
    flat = cells.reshape(3, 8)
    rows = [flat[0], np.zeros(8, np.int64), flat[1], flat[2]]
    totals = {
        EPOCH.what(0, EVERYWHERE): tuple(int(n) for row in rows for n in (row.sum(), *row)),
        EPOCH.split: (*[0] * len(SPLIT), *flat.sum(axis=1).tolist()),
    }
    record = judge(Look(epochs=(EPOCH,), totals=totals))
    return next(judged for judged in record.judged if judged.arm == "42").verdict


def naive(cells):
    """The labels of both arms, each for itself."""
    arms = cells[:2, :, 1:3].sum(axis=1)
    test = Difference(Arms(pi=0.3 / 0.8, centre=0.05, sd=0.22))
    alphas = split_alpha(guardrails=2, challengers=2)
    return decide(Question(limit=MARGIN), alphas, [[Epoch(test, arms)]]).verdict


def test_labels_of_a_slice_that_is_looked_at_more_often_are_not_the_whole():
    """At the margin: 5 points worse over all requests, all of it outside the protected slice, from
    which more than half of the labels come. Unweighted, the version looks half as bad."""
    plain, extra = (0.05, 0.05), MARGIN / 0.9
    safe = {"ours": 0, "naive": 0}
    for run in range(RUNS):
        rng = np.random.default_rng([14, run])
        ever = dict.fromkeys(safe, False)
        for cells in looks(rng, [plain, (0.05, 0.05 + extra), plain]):
            ever["ours"] |= ours(cells) is Verdict.SAFE
            ever["naive"] |= naive(cells) is Verdict.SAFE
        for kind in safe:
            safe[kind] += ever[kind]

    assert safe["naive"] >= 0.3 * RUNS, safe
    assert safe["ours"] <= most(RUNS), safe


def test_within_the_margin_audits_never_cry_harm_and_come_to_safe():
    plain, found = (0.05, 0.05), {"harm": 0, "safe": 0}
    for run in range(RUNS):
        rng = np.random.default_rng([15, run])
        verdicts = [ours(cells) for cells in looks(rng, [plain] * 3)]
        found["harm"] += Verdict.HARM in verdicts
        found["safe"] += Verdict.SAFE in verdicts

    assert found["harm"] <= most(RUNS), found
    assert found["safe"] >= 0.8 * RUNS, found
