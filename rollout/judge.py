"""Frozen totals to verdicts. Pure: the same look gives the same record, here and anywhere.

Of each metric, challenger and protected slice: E_safe now, E_harm at its highest, the interval, and
every reason why it may not be trusted. The epochs of one estimand are one account.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from msgspec import Struct

from evidence.decision import Alphas, Judgement, Standing, Verdict, harm_budget, split_alpha
from evidence.decision import judge as decide
from evidence.forms import Form, Guardrail
from evidence.results import LOG_LIMIT
from evidence.results import Side as Direction
from evidence.sequences import Epoch, log_e_late
from rollout import doubts
from rollout.cells import EVERYWHERE, Arm, Ceiling, Opened
from rollout.counted import Counted, Side
from rollout.decisions import Judged
from rollout.looks import Look, digest, key_of
from rollout.tested import evidence, first_bad, guardrail, unanswered
from streams.errors import InputError

VERSION = 1
"""Of the judge; a record names it, and is recomputed by it."""

FIRST_BAD = "first bad events"
"""The fast path of a metric: an account of its own, beside that of its panes."""

Seen = Sequence[tuple[Opened, int, Counted]]  # epochs that count a metric, and its number there


class Extra(Struct, frozen=True, kw_only=True):
    """Extra bad outcomes of a challenger so far (`evidence.decision.harm_budget`)."""

    arm: str
    metric: str
    least: float
    estimate: float
    most: float


class Record(Struct, frozen=True, kw_only=True):
    """One look, and all that comes of it.

    Args:
        judged: every metric of every challenger, over all traffic and in protected slices.
        peaks: for the next look.
        broken: why no comparison of arms can be trusted.
        self_checks: log e-value of the champion against itself, by metric.
        units: of each challenger, and of the champion under "champion".
    """

    version: int
    look: Look
    judged: tuple[Judged, ...]
    peaks: dict[str, float]
    broken: tuple[str, ...]
    self_checks: dict[str, float]
    extra: tuple[Extra, ...]
    units: dict[str, int]


def recompute(record: Record) -> Record:
    """The record that its look gives. Raises InputError for one of another judge."""
    if record.version != VERSION:
        raise InputError(
            f"the record is of judge {record.version}, this is {VERSION}",
            field="version",
            fix="recompute it with the release that made it",
        )
    return judge(record.look)


def judge(look: Look) -> Record:
    """Everything that `look` proves. Raises InputError for a look without an epoch."""
    if not look.epochs:
        raise InputError("no epoch has begun: there is nothing to judge", field="epochs")
    newest = look.epochs[-1]
    epochs = [epoch for epoch in look.epochs if epoch.estimand == newest.estimand]
    broken = tuple(doubts.of_all(look, epochs))
    protected = [part for part in newest.slices if part.protected]
    alphas = split_alpha(
        guardrails=newest.guardrails,
        alpha=newest.alpha,
        protected=len(protected),
        paths=newest.paths,
        challengers=len(newest.challengers),
    )
    bench = _Bench(look, epochs, alphas, broken)
    for name in dict.fromkeys(metric.name for epoch in epochs for metric in epoch.metrics):
        for k in range(len(newest.challengers)):
            bench.look_at(name, k, EVERYWHERE, "")
            for part in protected:
                bench.look_at(name, k, part.slot, part.name)
    for ceiling in newest.ceilings:
        for challenger in newest.challengers:
            bench.hold(ceiling, challenger)
    return Record(
        version=VERSION,
        look=look,
        judged=tuple(bench.judged),
        peaks=bench.peaks,
        broken=broken,
        self_checks=bench.self_checks,
        extra=tuple(bench.extra),
        units=bench.units,
    )


class _Bench:
    """The verdicts of one look, as they are found."""

    def __init__(
        self, look: Look, epochs: list[Opened], alphas: Alphas, broken: tuple[str, ...]
    ) -> None:
        self._look, self._epochs, self._alphas, self._broken = look, epochs, alphas, broken
        self._snapshot = digest(look)
        self.judged: list[Judged] = []
        self.peaks = dict(look.peaks)
        self.self_checks: dict[str, float] = {}
        self.extra: list[Extra] = []
        self.units = self._units()

    def look_at(self, name: str, k: int, slot: int, part: str) -> None:
        """The verdict on one metric of challenger `k`."""
        arm = self._epochs[-1].challengers[k].arm
        seen = [
            (epoch, no, metric)
            for epoch in self._epochs
            for no, metric in enumerate(epoch.metrics)
            if metric.name == name
        ]
        try:
            found = self._found(seen, k, slot, key_of(arm, name, part))
        except InputError as error:
            self._say(arm, name, part, Verdict.INVALID, error.message)
            return
        if found is None:
            self._say(arm, name, part, Verdict.NO_DATA, "no epoch compares the arms on it")
            return
        test, judgement = found
        if not part and self._crashes(seen, k, key_of(arm, name, part, FIRST_BAD)):
            judgement = replace(judgement, verdict=Verdict.HARM, standing=Standing.BEYOND)
        is_open = judgement.verdict in (Verdict.SAFE, Verdict.UNDECIDED)
        if is_open and not doubts.is_known(self._look, seen, k, slot):
            reasons = ("no outcome of either version has come",)
            judgement = replace(judgement, verdict=Verdict.NO_DATA, reasons=reasons)
        self._tell(arm, name, part, test, judgement)
        if not part:
            self._spent(seen[-1][2], arm, judgement)

    def hold(self, ceiling: Ceiling, challenger: Arm) -> None:
        """What drift scores say: they hold or let pass, and are evidence of nothing."""
        scores = [
            (window.drift, window.n)
            for window in self._look.windows
            if window.version in ("", challenger.version) and window.drift is not None
        ]
        if not scores:
            why = "no monitor has measured a window lately"
            self._say(challenger.arm, ceiling.name, "", Verdict.NO_DATA, why)
            return
        drift, n = max(scores)
        self.judged.append(
            Judged(
                arm=challenger.arm, metric=ceiling.name, verdict=Verdict.UNDECIDED, n=n,
                estimate=drift, limit=ceiling.limit, reasons=("a score holds, it proves nothing",),
                snapshot=self._snapshot,
            )
        )  # fmt: skip

    def _found(self, seen: Seen, k: int, slot: int, key: str) -> tuple[Guardrail, Judgement] | None:
        told = self._told(seen, k, slot, period=1)
        periods = [[each for each in told if each is not None]]
        if not periods[0]:
            return None
        for period in range(2, 1 + self._periods(seen)):
            later = self._told(seen, k, slot, period=period)
            periods.append([each for each in later if each is not None])
        newest = [one for one, each in zip(seen, told, strict=True) if each is not None][-1]
        epoch, _, metric = newest
        pi = epoch.challengers[k].pi
        test = guardrail(metric, pi=pi, planned_units=epoch.planned_units)
        assert test is not None
        reasons = tuple(self._doubts(seen, k, slot, test.question.equal))
        peak = self.peaks.get(key, -math.inf)
        worst = self._worst(seen, k) if slot == EVERYWHERE else []
        judgement = decide(
            test.question, self._alphas, periods, peak=peak, invalid=reasons, worst=worst
        )
        self.peaks[key] = _written(judgement.peak)
        return test, judgement

    def _told(self, seen: Seen, k: int, slot: int, *, period: int) -> list[Epoch | None]:
        """What each epoch says; in a later period only those that have counted it."""
        return [
            evidence(epoch, metric, k, self._look.vector(epoch.what(no, slot, period)))
            if period == 1 or epoch.what(no, EVERYWHERE, period) in self._look.totals
            else None
            for epoch, no, metric in seen
        ]

    def _worst(self, seen: Seen, k: int) -> list[Epoch]:
        """What each epoch says if all that was never answered was bad; none where nobody knows.

        A limit on missing answers lets a version miss more of them than the champion: then these
        could hide what else it does wrong.
        """
        found: list[Epoch] = []
        is_known = False
        for epoch, no, metric in seen:
            bad = None
            if metric.source == "prediction" and metric.loss != "missing":
                bad = unanswered(epoch, k, self._look.vector(epoch.assigned))
            vector = self._look.vector(epoch.what(no, EVERYWHERE))
            told = evidence(epoch, metric, k, vector, bad=bad)
            found += [] if told is None else [told]
            is_known |= bad is not None and metric.side is Side.ARMS
        return found if is_known else []

    def _periods(self, seen: Seen) -> int:
        """How many periods some epoch has counted."""
        found = 1
        while any(e.what(no, EVERYWHERE, found + 1) in self._look.totals for e, no, _ in seen):
            found += 1
        return found

    def _crashes(self, seen: Seen, k: int, key: str) -> bool:
        """Whether so many more of its units had a first bad event that it is harm at once."""
        newest = seen[-1][2]
        told = [
            first_bad(epoch, metric, k, self._look.vector(epoch.first_bad(no)))
            for epoch, no, metric in seen
        ]
        kept = [each for each in told if each is not None]
        if newest.crash is None or not kept:
            return False
        now = _written(float(log_e_late(kept, newest.crash, Direction.ABOVE)))
        self.peaks[key] = max(self.peaks.get(key, -math.inf), now)
        return self.peaks[key] >= -math.log(self._alphas.harm)

    def _doubts(self, seen: Seen, k: int, slot: int, equal: float | None) -> list[str]:
        metric = seen[-1][2]
        found = [*self._broken, *doubts.of_metric(self._look, seen, k, slot)]
        if slot == EVERYWHERE:
            alarm = doubts.self_check(self._look, seen, slot, equal)
            if alarm is not None:
                self.self_checks[metric.name] = _written(alarm)
        if self.self_checks.get(metric.name, 0.0) >= doubts.SURELY:
            found.append("two halves of the champion differ: it is not the versions that do")
        return found

    def _tell(self, arm: str, name: str, part: str, test: Guardrail, found: Judgement) -> None:
        interval, reasons = found.interval, found.reasons
        if found.verdict not in (Verdict.INVALID, Verdict.NO_DATA):
            reasons = (*reasons, found.standing.value)
        self.judged.append(
            Judged(
                arm=arm,
                metric=name,
                verdict=found.verdict,
                slice=part,
                n=found.safe.n,
                estimate=_finite(found.safe.estimate),
                lower=None if interval is None else _finite(interval.lower),
                upper=None if interval is None else _finite(interval.upper),
                limit=test.question.limit,
                log_safe=_written(found.safe.log_e),
                log_harm=_written(found.harm.log_e),
                reasons=reasons,
                snapshot=self._snapshot,
            )
        )

    def _say(self, arm: str, name: str, part: str, verdict: Verdict, why: str) -> None:
        self.judged.append(
            Judged(
                arm=arm, metric=name, verdict=verdict, slice=part, reasons=(why,),
                snapshot=self._snapshot,
            )
        )  # fmt: skip

    def _spent(self, metric: Counted, arm: str, found: Judgement) -> None:
        """The harm budget's figures, of a metric that counts bad outcomes."""
        countable = metric.form in (Form.DIFFERENCE, Form.PAIRED_DIFFERENCE)
        whole = found.safe.interval is not None and found.harm.interval is not None
        if not countable or metric.higher_is_better or not whole or found.harm.estimate is None:
            return
        spent = harm_budget(found, self.units[arm])
        self.extra.append(
            Extra(
                arm=arm, metric=metric.name, least=spent.least, estimate=spent.estimate,
                most=min(spent.most, float(self.units[arm])),
            )
        )  # fmt: skip

    def _units(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for epoch in self._epochs:
            arms = doubts.units_of(self._look, epoch)
            names = ["champion", *(one.arm for one in epoch.challengers)]
            for name, count in zip(names, arms.tolist(), strict=True):
                found[name] = found.get(name, 0) + count
        return found


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _written(log_e: float) -> float:
    """Nats, as far as a float64 of e^x reaches."""
    return min(max(log_e, -LOG_LIMIT), LOG_LIMIT)
