"""What the judge says of a simulated future, of many looks at once. Pure.

It is the judge's evidence and the judge's rule, without what is only shown: no interval, no
estimate. That both say the same of the same counts is a test's to hold (tests/rollout).
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from evidence.decision import log_harm, log_safe, split_alpha
from rollout import audits
from rollout.accounts import HARM, NO_DATA, SAFE, UNDECIDED, Account, Spent, spending
from rollout.counted import HALVES, Counted, Side, outcomes
from rollout.decisions import Judged
from rollout.drawing import Drawn
from rollout.looks import key_of
from rollout.scenes import Reached
from rollout.spec import HarmBudget, Least
from rollout.tested import arms_of, counted, evidence, guardrail, missing_of

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Sight(Struct):
    """A stretch of looks."""

    times: Ints
    accounts: list[Account]
    reached: dict[str, Ints]
    budget: HarmBudget | None
    spent: list[Spent]

    def verdicts(self, look: int) -> tuple[Judged, ...]:
        several = len(self.reached) > 1
        return tuple(account.judged(look, estimated=several) for account in self.accounts)

    def reached_at(self, look: int) -> dict[str, Reached]:
        """What each challenger's step had seen at one look."""
        found = {}
        for arm, seen in self.reached.items():
            pairs, audited, units = seen[look].tolist()
            found[arm] = Reached(pairs=pairs, audited=audited, units=units)
        return found

    def cost(self, look: int, *, dropped: Collection[str]) -> tuple[float | None, float | None]:
        """Extra bad outcomes at least, and as estimated; None without a budget or evidence."""
        left = [each for each in self.spent if each.arm not in dropped]
        known = [each for each in left if not math.isnan(each.estimates[look])]
        if self.budget is None or not known:
            return None, None
        is_over = any(each.is_over[look] for each in known)
        least = math.nextafter(self.budget.extra, math.inf) if is_over else 0.0
        return least, max(float(each.estimates[look]) for each in known)

    def safe(self, look: int) -> frozenset[str]:
        """The metrics that some look up to this one called safe."""
        found = (a.metric for a in self.accounts if (a.verdicts[: look + 1] == SAFE).any())
        return frozenset(found)

    def changes(self, least: Least) -> Ints:
        """The looks at which a verdict is another than before, or a floor is met."""
        floors = np.array([least.pairs or 0, least.audited or 0, least.units or 0])
        states = [account.verdicts for account in self.accounts]
        for seen in self.reached.values():
            states += list((seen >= floors).T.astype(np.int64))
        for cost in self.spent:
            assert self.budget is not None
            states += [cost.is_over.astype(np.int64), (cost.estimates > self.budget.extra) + 0]
        moved = np.zeros(len(self.times), bool)
        for state in states:
            moved[1:] |= state[1:] != state[:-1]
        found: Ints = moved.nonzero()[0]
        return found


class Bench:
    """The judge of one future: it remembers how strong evidence of harm ever was."""

    def __init__(self, metrics: Sequence[str], budget: HarmBudget | None = None) -> None:
        self._metrics, self._budget = metrics, budget
        self._peaks: dict[str, float] = {}

    def sight(self, drawn: Sequence[Drawn], times: Ints, *, since_ms: int) -> Sight:
        """What these looks show of the epochs, oldest first."""
        newest = drawn[-1].opened
        epochs = [each for each in drawn if each.opened.estimand == newest.estimand]
        accounts = [
            self._account(epochs, name, k, times)
            for name in self._metrics
            for k in range(len(newest.challengers))
        ]
        reached = {
            one.arm: sum(
                (_reached(each, k, times) for each in drawn if each.opens_ms >= since_ms),
                np.zeros((len(times), 3), np.int64),
            )
            for k, one in enumerate(newest.challengers)
        }
        spent = [
            spending(each, self._budget.extra, _units(epochs, each.arm, times))
            for each in accounts
            if self._budget is not None and each.metric == self._budget.metric
        ]
        return Sight(times, accounts, reached, self._budget, [s for s in spent if s is not None])

    def keep(self, sight: Sight, look: int) -> None:
        """The future went on from this look."""
        for account in sight.accounts:
            self._peaks[key_of(account.arm, account.metric, "")] = float(account.peaks[look])

    def _account(self, epochs: Sequence[Drawn], name: str, k: int, times: Ints) -> Account:
        opened = epochs[-1].opened
        arm = opened.challengers[k].arm
        told, worst, newest, is_hidden = [], [], None, False
        known = np.zeros(len(times), bool)
        for drawn in epochs:
            for no, metric in enumerate(drawn.opened.metrics):
                if metric.name != name:
                    continue
                cells = drawn.cells(no, times)
                known |= _known(drawn, metric, k, cells)
                found = evidence(drawn.opened, metric, k, cells)
                if found is None:
                    continue
                told.append(found)
                newest = metric, drawn.opened.challengers[k].pi
                bad = _unanswered(drawn, metric, k, times)
                is_hidden |= bad is not None
                seen = found if bad is None else evidence(drawn.opened, metric, k, cells, bad=bad)
                worst.append(seen or found)
        peak = self._peaks.get(key_of(arm, name, ""), -math.inf)
        if newest is None:
            same = np.zeros(len(times))
            return Account(arm, name, [], same.astype(np.int64), same + peak)
        test = guardrail(newest[0], pi=newest[1], planned_units=opened.planned_units)
        assert test is not None
        alphas = split_alpha(
            guardrails=opened.guardrails, alpha=opened.alpha, paths=opened.paths,
            protected=sum(part.protected for part in opened.slices),
            challengers=len(opened.challengers),
        )  # fmt: skip
        good = log_safe(test.question, told)
        if is_hidden:
            good = np.minimum(good, log_safe(test.question, worst))
        peaks = np.maximum.accumulate(np.maximum(log_harm(test.question, [told]), peak))
        verdicts: Ints = np.where(good >= -math.log(alphas.safe), SAFE, UNDECIDED)
        verdicts = np.where(known, verdicts, NO_DATA)
        verdicts = np.where(peaks >= -math.log(alphas.harm), HARM, verdicts)
        return Account(arm, name, told, verdicts, peaks, test, alphas.harm)


def _known(drawn: Drawn, metric: Counted, k: int, cells: Ints) -> Bools:
    """Whether any outcome has come, at each look."""
    if metric.label_source is None:
        return np.asarray(cells.any(axis=-1))
    shaped = counted(drawn.opened, metric, cells)
    mine = shaped[..., _groups(metric, k), :][..., audits.told(metric)]
    return np.asarray(mine.any(axis=(-1, -2)))


def _unanswered(drawn: Drawn, metric: Counted, k: int, times: Ints) -> Ints | None:
    """Requests of both arms that nobody answered, at each look; None where none are counted."""
    no = missing_of(drawn.opened)
    if no is None or metric.source != "prediction" or metric.loss == "missing":
        return None
    if metric.side is Side.PAIRS:
        return None
    limited = drawn.opened.metrics[no]
    cells = counted(drawn.opened, limited, drawn.cells(no, times))
    return arms_of(outcomes(limited, cells), k)[..., 1]


def _units(epochs: Sequence[Drawn], arm: str, times: Ints) -> Ints:
    """Units of a challenger over all epochs, at each look."""
    found = np.zeros(len(times), np.int64)
    for drawn in epochs:
        arms = [one.arm for one in drawn.opened.challengers]
        if arm in arms:
            found += drawn.arms(times)[:, 1 + arms.index(arm)]
    return found


def _reached(drawn: Drawn, k: int, times: Ints) -> Ints:
    """Pairs, audited pairs and units of challenger `k`, shape (looks, 3)."""
    pairs = np.zeros((2, len(times)), np.int64)
    for no, metric in enumerate(drawn.opened.metrics):
        if metric.audited:
            mine = counted(drawn.opened, metric, drawn.cells(no, times))[..., HALVES + k, :]
            pairs[1] = np.maximum(pairs[1], mine[..., audits.told(metric)].sum(axis=-1))
        elif metric.side is Side.PAIRS:
            kind = int(metric.source == "audit")
            pairs[kind] = np.maximum(pairs[kind], drawn.pairs(no, times)[:, k, kind])
    return np.stack([*pairs, drawn.arms(times)[:, 1 + k]], axis=-1)


def _groups(metric: Counted, k: int) -> slice:
    """Where a challenger's counts stand: its pairs by stratum, or those of both arms."""
    strata = len(metric.q)
    return slice(k * strata, (k + 1) * strata) if metric.side is Side.PAIRS else slice(None)
