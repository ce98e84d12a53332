"""A plan's futures take as long as the rollout takes on generated events of the same rates."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from penstock.backtest import played
from penstock.recorded import Read
from rollout.courses import course
from rollout.drawing import World
from rollout.futures import future
from rollout.rates import Rate, Rates
from rollout.scenarios import Scenario, Shift
from rollout.stages import Signal
from streams.models import DAY_MS
from streams.pipeline import LATENESS_MS
from tests.penstock.test_backtest import DECLARED, MODEL, T0, traffic

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]
A_DAY = 2_400
RATES = Rates(metrics={"errors": Rate(mean=0.0), "wrong": Rate(mean=0.1)})


def backtests(wrong, count):
    """What the rollout first decides on generated events, and after how many days."""
    for seed in range(count):
        events = traffic(wrong=wrong, days=1.5, a_day=A_DAY, seed=seed)
        told = played(MODEL, DECLARED, events, read=Read(total=1), tell=lambda *_: None)
        _, start, first, *_ = told.decisions
        yield first.signal, (first.at_ms - start.at_ms) / DAY_MS


def futures(wrong, count):
    """The same of simulated futures."""
    scenario = Scenario(name="of the events", shifts={"wrong": Shift(absolute=wrong - 0.1)})
    world = World(
        DECLARED.spec, MODEL, course(DECLARED.spec), RATES, scenario,
        requests_a_day=A_DAY, lateness_ms=LATENESS_MS,
    )  # fmt: skip
    for seed in np.random.SeedSequence(1).spawn(count):
        end = future(world, from_ms=T0, seed=seed)
        first = end.steps[0]
        yield Signal.ADVANCE if first.advanced else end.signal, first.days


@pytest.mark.parametrize(("wrong", "signal"), [(0.1, Signal.ADVANCE), (0.4, Signal.HARM)])
def test_the_first_step_ends_alike_and_takes_as_long(wrong, signal):
    played_out, simulated = list(backtests(wrong, 24)), list(futures(wrong, 400))

    assert sum(each == signal for each, _ in played_out) >= 22
    assert sum(each == signal for each, _ in simulated) >= 360
    seen, drawn = ([days for each, days in ends if each == signal] for ends in
                   (played_out, simulated))  # fmt: skip
    assert mannwhitneyu(seen, drawn).pvalue > 0.005
    assert np.percentile(drawn, 30) < np.median(seen) < np.percentile(drawn, 70)
