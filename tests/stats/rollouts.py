"""A simulated rollout: five guardrails, two epochs of a ramp, twenty slices, a look at every pane.

The metrics of a unit share its mood, so they fail together. Slice 0 is protected: its harm rolls
back too. Verdicts come from the e-values of all looks at once; `replayed` asks the judge itself.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from benchmarks.simulation import cumulative, growing
from evidence.bets import Plan, Statistic
from evidence.decision import Question, Verdict, judge, overall, split_alpha
from evidence.domain import Floats, Ints
from evidence.effects import Arms, Difference, Ratio
from evidence.paired import Pair, PairedDifference, Pairs
from evidence.results import Side
from evidence.risks import EventShare, OneArmShare
from evidence.sequences import Account, Epoch, log_e, log_e_late

PIS = (0.1, 1 / 3)  # of a ramp 10 -> 40 %, by `enrolment`
PANES, PANE, SLICES = 30, 400, 20  # panes of an epoch, units of a pane
UNITS = PANES * PANE
LOOKS = np.arange(PANE, UNITS + 1, PANE)

ERRORS, TIMEOUTS, DISAGREE = 0.04, 0.05, 0.06  # the champion's rates, and the pair's
SPENT = np.array([0.0, 1.0, 2.0, 5.0, 10.0])
SPENDERS = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
SHARED = 0.7  # weight of the mood in each metric

Effects = Mapping[str, ArrayLike]  # one for all slices, or one for each
Counts = dict[str, list[Ints]]  # for each metric and epoch, (panes, slices, *shape)


def _arms(base: float, pi: float, levels: tuple[float, ...] = (0.0, 1.0)) -> Arms:
    sd = math.sqrt(base * (1 - base)) if len(levels) == 2 else 2.5
    return Arms(levels=levels, pi=pi, centre=base, sd=sd, plan=Plan(n_star=UNITS))


@dataclass(frozen=True)
class Guardrail:
    """What a metric must keep to, how each epoch tests it, and the effect of equal versions."""

    question: Question
    statistics: tuple[Statistic, ...]
    fair: float

    def harm(self, counts: list[Ints]) -> Floats:
        """Log E_harm at every look of all epochs, in the shape of the leading axes."""
        return self._log_e(counts, self.question.harm, log_e_late)

    def safe(self, counts: list[Ints]) -> Floats:
        return self._log_e(counts, self.question.harm.other, log_e)

    def _log_e(self, counts: list[Ints], side: Side, account: Account) -> Floats:
        epochs = growing(self.statistics, counts)
        return np.concatenate([account(each, self.question.limit, side) for each in epochs])


_PAIRS = Pairs(sigma0=math.sqrt(DISAGREE), plan=Plan(n_star=UNITS))
GUARDRAILS = {
    "errors": Guardrail(
        Question(limit=1.5, equal=1.0), tuple(EventShare(pi=pi) for pi in PIS), 1.0
    ),
    "timeouts": Guardrail(
        Question(limit=0.02), tuple(Difference(_arms(TIMEOUTS, pi)) for pi in PIS), 0.0
    ),
    "revenue": Guardrail(
        Question(limit=0.85, harm=Side.BELOW, equal=1.0),
        tuple(Ratio(_arms(float(SPENT @ SPENDERS), pi, tuple(SPENT))) for pi in PIS),
        1.0,
    ),
    "accuracy": Guardrail(Question(limit=0.01), (PairedDifference(_PAIRS),) * 2, 0.0),
    "changes": Guardrail(Question(limit=0.08, equal=None), (OneArmShare(),) * 2, DISAGREE),
}
FAIR: Effects = {name: each.fair for name, each in GUARDRAILS.items()}
AT_MARGIN: Effects = {name: each.question.limit for name, each in GUARDRAILS.items()}
ALPHAS = split_alpha(guardrails=len(GUARDRAILS), protected=1)


def counted(rng: np.random.Generator, effects: Effects) -> Counts:
    """What the frozen panes of both epochs hold."""
    epochs = [_epoch(rng, effects, pi) for pi in PIS]
    return {name: [epoch[name] for epoch in epochs] for name in GUARDRAILS}


def _epoch(rng: np.random.Generator, effects: Effects, pi: float) -> dict[str, Ints]:
    part = rng.integers(0, SLICES, UNITS)
    arm = rng.random(UNITS) < pi
    mood = rng.standard_normal(UNITS)
    own = rng.standard_normal((4, UNITS))
    luck = ndtr(SHARED * mood + math.sqrt(1 - SHARED**2) * own)  # high is bad
    at = {name: np.broadcast_to(effects[name], SLICES)[part] for name in GUARDRAILS}

    bad = luck[0] > 1 - ERRORS * np.where(arm, at["errors"], 1.0)
    slow = luck[1] > 1 - TIMEOUTS - arm * at["timeouts"]
    spent = np.searchsorted(SPENDERS.cumsum()[:-1], 1 - luck[2])
    spent = np.where(arm & (rng.random(UNITS) > at["revenue"]), 0, spent)
    differs = luck[3] > 1 - at["changes"]
    lost = rng.random(UNITS) < (1 + at["accuracy"] / at["changes"]) / 2
    pair = np.where(differs, np.where(lost, Pair.CHALLENGER_WRONG, Pair.CHAMPION_WRONG), Pair.EQUAL)

    def count(cell: Ints, *shape: int) -> Ints:
        return cumulative(part * math.prod(shape) + cell, (SLICES, *shape), LOOKS)

    return {
        "errors": count(arm * 2 + bad, 2, 2)[..., 1],
        "timeouts": count(arm * 2 + slow, 2, 2),
        "revenue": count(arm * len(SPENT) + spent, 2, len(SPENT)),
        "accuracy": count(pair, 1, len(Pair)),
        "changes": count(differs.astype(np.int64), 2),
    }


def verdicts(counts: Counts) -> dict[str, list[Verdict]]:
    """The verdict of each metric at every look; harm is latched, also that of slice 0."""
    return {name: list(_verdicts(GUARDRAILS[name], counts[name])) for name in GUARDRAILS}


def _verdicts(guardrail: Guardrail, counts: list[Ints]) -> Iterator[Verdict]:
    whole = [each.sum(axis=1) for each in counts]
    protected = [each[:, 0] for each in counts]
    harm = np.maximum(guardrail.harm(whole), guardrail.harm(protected))
    latched = np.maximum.accumulate(harm) >= -math.log(ALPHAS.harm)
    safe = guardrail.safe(whole) >= -math.log(ALPHAS.safe)
    for bad, good in zip(latched, safe, strict=True):
        yield Verdict.HARM if bad else Verdict.SAFE if good else Verdict.UNDECIDED


def rollout(found: Mapping[str, Iterable[Verdict]]) -> list[Verdict]:
    """The verdict over all metrics at every look."""
    looks = zip(*found.values(), strict=True)
    return [overall(dict(zip(found, each, strict=True)), list(found)) for each in looks]


def replayed(counts: Counts) -> dict[str, list[Verdict]]:
    """`verdicts` again, from `judge` and the peak that it hands from look to look."""
    return {name: list(_replayed(GUARDRAILS[name], counts[name])) for name in GUARDRAILS}


def _replayed(guardrail: Guardrail, counts: list[Ints]) -> Iterator[Verdict]:
    scopes = (lambda slices: slices.sum(axis=0), lambda slices: slices[0])
    peaks = [-math.inf] * len(scopes)
    for e, panes in enumerate(counts):
        for pane in panes:
            seen = [*(before[-1] for before in counts[:e]), pane]
            found = []
            for scope, peak in zip(scopes, peaks, strict=True):
                epochs = list(map(Epoch, guardrail.statistics, map(scope, seen)))
                found.append(judge(guardrail.question, ALPHAS, [epochs], peak=peak))
            peaks = [each.peak for each in found]
            whole, protected = (each.verdict for each in found)
            yield Verdict.HARM if protected is Verdict.HARM else whole
