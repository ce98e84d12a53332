"""The evidence on one metric of one challenger over many looks, and what it has cost. Pure."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from evidence.decision import Verdict, log_harm
from evidence.forms import Guardrail
from evidence.results import Side
from evidence.sequences import Epoch, estimate
from rollout.decisions import Judged

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

VERDICTS = (Verdict.NO_DATA, Verdict.UNDECIDED, Verdict.SAFE, Verdict.HARM)
NO_DATA, UNDECIDED, SAFE, HARM = range(len(VERDICTS))

TIMES = 12
"""How often, in a stretch of looks, it is computed what has been spent of the harm budget."""


class Account(Struct):
    """One metric of one challenger: the verdict (of `VERDICTS`) and log E_harm at each look."""

    arm: str
    metric: str
    epochs: list[Epoch]
    verdicts: Ints
    peaks: Floats
    test: Guardrail | None = None
    alpha_harm: float = 0.0

    def at(self, look: int) -> list[Epoch]:
        """The evidence as it was then."""
        return [Epoch(each.statistic, np.asarray(each.cells)[look]) for each in self.epochs]

    def judged(self, look: int, *, estimated: bool) -> Judged:
        """As a decision reads it; only who ranks challengers needs an estimate."""
        value = estimate(self.at(look)) if self.epochs and estimated else None
        return Judged(
            arm=self.arm, metric=self.metric, verdict=VERDICTS[int(self.verdicts[look])],
            estimate=value if value is not None and math.isfinite(value) else None,
        )  # fmt: skip


class Spent(Struct):
    """What one challenger has cost of the harm budget, at each look.

    Args:
        arm: the challenger.
        estimates: extra bad outcomes.
        is_over: whether at least as many as the budget has are proven.
    """

    arm: str
    estimates: Floats
    is_over: Bools


def spending(account: Account, budget: float, units: Ints) -> Spent | None:
    """As the judge counts it, of a metric that counts bad outcomes.

    The bound itself is never asked for: it is beyond the budget where evidence refutes the budget.
    It is asked `TIMES` in a long stretch, and what it says stands until the next time.
    """
    test = account.test
    if test is None or test.question.equal != 0.0 or test.question.harm is not Side.ABOVE:
        return None
    estimates, is_over = np.full(len(units), np.nan), np.zeros(len(units), bool)
    every = max(1, len(units) // TIMES)
    for look in range(0, len(units), every):
        count, epochs = int(units[look]), account.at(look)
        effect = estimate(epochs) if count else 0.0
        if effect is None:
            continue
        cost, here = max(0.0, count * effect), slice(look, look + every)
        estimates[here] = cost
        if cost > budget:
            question = replace(test.question, limit=budget / count, safe_limit=None)
            is_over[here] = log_harm(question, [epochs]) >= -math.log(account.alpha_harm)
    return Spent(account.arm, estimates, is_over)
