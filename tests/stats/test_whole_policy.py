"""A rollout from its first event to its decision, through intake, judge and controller.

`python -m benchmarks.policy` plays the same with more runs, and longer ones.
"""

from functools import partial

import numpy as np
import pytest

from benchmarks.policy import traffic
from benchmarks.policy.rules import Said
from benchmarks.policy.runs import HARMFUL, Plan, play, told
from benchmarks.policy.service import template
from benchmarks.simulation import Rate, most

pytestmark = pytest.mark.stats

AT_MARGIN = Plan(traffic.AT_MARGIN, hours=12, ramp=6)


@pytest.fixture(scope="module")
def database():
    with template() as path:
        yield path


def played(plan, database, count, *, seed):
    return [play(plan, database, each) for each in np.random.SeedSequence(seed).spawn(count)]


def test_at_all_margins_harm_is_proven_and_a_metric_called_safe_in_few_runs(database, replicates):
    """Five guardrails, twenty slices, a ramp, a look at every frozen pane."""
    n = max(16, replicates // 25)
    runs = played(AT_MARGIN, database, n, seed=71)

    harmed = Rate.of(run.harmed for run in runs)
    assert harmed.hits <= most(n), str(harmed)
    for name in traffic.GUARDRAILS:
        safe = Rate.of(name in run.safe for run in runs)
        assert safe.hits <= most(n), f"{name}: {safe}"


def test_a_bad_version_goes_back_within_hours(database, replicates):
    runs = played(HARMFUL, database, max(6, replicates // 50), seed=72)

    assert all(run.hours is not None for run in runs)
    assert np.median([run.hours for run in runs]) <= 8


def test_point_estimates_against_fixed_limits_roll_equal_versions_back(replicates):
    """The same requests under Flagger's rule, whose counter is never set back: nine of ten."""
    seeds = np.random.SeedSequence(73).spawn(max(40, replicates // 10))
    found = list(map(partial(told, traffic.EQUAL, 24), seeds))

    back = Rate.of(each["Flagger"].said is Said.BACK for each in found)
    promoted = Rate.of(each["Argo Rollouts"].said is Said.PROMOTED for each in found)

    assert back.share >= 0.9, str(back)
    assert promoted.share <= 0.5, str(promoted)
