"""A whole rollout keeps its two promises, and is quick where it must be."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.simulation import Rate, most, simulate
from evidence.decision import Verdict
from evidence.multiplicity import bh, e_bh
from tests.stats.rollouts import (
    AT_MARGIN,
    FAIR,
    GUARDRAILS,
    PIS,
    SLICES,
    counted,
    replayed,
    rollout,
    verdicts,
)

pytestmark = pytest.mark.stats

NAMES = tuple(GUARDRAILS)
CRASH = {**FAIR, "errors": 5.0}
FDR = 0.1


def judged(effects):
    return lambda rng: rollout(verdicts(counted(rng, effects)))


@pytest.mark.parametrize(
    "effects", [AT_MARGIN, CRASH, FAIR], ids=["at the margins", "a crash", "equal versions"]
)
def test_the_verdicts_of_all_looks_at_once_are_those_of_the_judge_look_by_look(effects):
    counts = counted(np.random.default_rng(5), effects)
    sparse = {name: [each[5::6] for each in epochs] for name, epochs in counts.items()}

    assert replayed(sparse) == verdicts(sparse)


def test_harm_is_declared_in_at_most_five_percent_of_rollouts_that_keep_every_margin(replicates):
    """All five guardrails exactly at their margins, and one protected slice, for 60 looks."""
    found = simulate(judged(AT_MARGIN), replicates, seed=61)

    harmed = Rate.of(Verdict.HARM in each for each in found)

    assert harmed.hits <= most(replicates), str(harmed)


def test_a_version_with_one_metric_at_its_margin_is_called_safe_in_at_most_five_percent(replicates):
    """Each metric in turn is the one; the others are equal, and soon found safe."""

    def path(rng):
        name = rng.choice(NAMES)
        found = verdicts(counted(rng, {**FAIR, name: AT_MARGIN[name]}))
        others = Verdict.SAFE in rollout({n: v for n, v in found.items() if n != name})
        return Verdict.SAFE in rollout(found), Verdict.SAFE in found[name], others

    promoted, alone, others = (
        Rate.of(map(bool, each)) for each in zip(*simulate(path, replicates, seed=62), strict=True)
    )

    assert promoted.hits <= most(replicates), str(promoted)
    assert alone.hits <= most(replicates), str(alone)
    assert others.share >= 0.9, str(others)


def test_equal_versions_are_promoted_and_never_rolled_back(replicates):
    n = replicates // 4
    found = simulate(judged(FAIR), n, seed=63)

    promoted = Rate.of(Verdict.SAFE in each for each in found)
    harmed = Rate.of(Verdict.HARM in each for each in found)

    assert promoted.share >= 0.9, str(promoted)
    assert harmed.share <= 0.02, str(harmed)


def test_a_crash_is_rolled_back_within_the_first_panes_and_stays_so(replicates):
    """Errors x 5 at a 10 % canary: in nine of ten runs after at most 6 panes, 240 units of it."""
    found = simulate(judged(CRASH), replicates // 4, seed=64)

    panes = [each.index(Verdict.HARM) + 1 for each in found]

    assert np.median(panes) <= 4
    assert np.percentile(panes, 90) <= 6
    for each, start in zip(found, panes, strict=True):
        assert set(each[start:]) <= {Verdict.HARM}


def test_slices_are_named_with_few_false_discoveries_however_they_hang_together(replicates):
    """100 hypotheses: in 5 of 20 slices errors are 6 x, all else is at its margin. Somebody reads
    every pane and stops when more than the five are named, at the latest at the end. A fifth of
    what Benjamini & Hochberg ever name from the p-values of single looks is false."""
    true = np.zeros((len(NAMES), SLICES), dtype=bool)
    true[0, :5] = True
    effects = {**AT_MARGIN, "errors": np.where(true[0], 6.0, AT_MARGIN["errors"])}
    p0 = [pi * 1.5 / (pi * 1.5 + 1 - pi) for pi in PIS]

    def wrong(named, truth):
        return (named & ~truth).sum() / max(1, named.sum())

    def path(rng):
        counts = counted(rng, effects)
        log_e = np.stack([GUARDRAILS[name].harm(counts[name]) for name in NAMES], axis=1)
        ours = [e_bh(look.ravel(), fdr=FDR).reshape(true.shape) for look in log_e]
        stop = next((named for named in ours if named.sum() > true.sum()), ours[-1])
        naive = [
            bh(binom.sf(look[:, 1] - 1, look.sum(axis=1), share), fdr=FDR)
            for share, looks in zip(p0, counts["errors"], strict=True)
            for look in looks
        ]
        return (
            wrong(np.any(naive, axis=0), true[0]),
            wrong(np.any(ours, axis=0), true),
            wrong(stop, true),
            (ours[-1] & true).sum() / true.sum(),
        )

    naive, ever, stopped, power = np.mean(simulate(path, replicates // 4, seed=65), axis=0)

    assert 0.16 <= naive <= 0.28
    assert max(ever, stopped) <= FDR
    assert power >= 0.9
