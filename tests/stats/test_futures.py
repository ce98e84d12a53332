"""What the judge promises holds over the futures that a plan simulates."""

import numpy as np
import pytest
from scipy.stats import binom

from rollout.futures import future
from rollout.rates import Rates
from rollout.stages import Signal
from tests.rollout.ahead import T0, spec, world

CANARY = """
    - canary: {weights: [20, 50], dwell: 6h, require: guardrails, deadline: 10d}
    - full: {probation: 1d}
"""


@pytest.mark.stats
@pytest.mark.parametrize("unit", ["request", "account"])
def test_at_the_margin_ever_safe_keeps_within_alpha_over_many_futures(unit, replicates):
    count, alpha = 5 * replicates, 0.05
    declared = spec(unit=unit, guardrails=("errors", "wrong", "slow"), stages=CANARY)

    at_margin = world(declared, "worse by the margin", rates=Rates(units=100_000))
    seeds = np.random.SeedSequence(5).spawn(count)
    ends = [future(at_margin, from_ms=T0, seed=seed) for seed in seeds]

    for name in ("errors", "wrong", "slow"):
        assert sum(name in end.safe for end in ends) <= binom.ppf(0.999, count, alpha), name
    assert sum(end.signal is Signal.HARM for end in ends) <= binom.ppf(0.999, count, alpha)
