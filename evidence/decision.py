"""S7: from evidence to a verdict, for one metric and for all of them.

Two accounts per metric. Safe is what the evidence says *now*: E_safe >= 1 / alpha. Harm is latched
once E_harm >= G / alpha. So a version that is proven bad cannot argue itself back, and one that was
proven good can still lose that standing.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from evidence.domain import Floats, InputError, finite, open_unit
from evidence.results import Evidence, Interval, Side
from evidence.sequences import Epoch, bound, estimate, log_e, log_e_late, units

UNSEEN = "within its margin only if what was never answered was good"
CONTRADICTION = "no effect explains the counts: the split or another assumption is broken"


class Verdict(StrEnum):
    """The judge's closed set; `cancelled` is a person's."""

    SAFE = "safe"
    HARM = "harm"
    UNDECIDED = "undecided"
    NO_DATA = "no-data"
    INVALID = "invalid"


class Standing(StrEnum):
    """Where the interval lies; the sentence beside the verdict."""

    BETTER = "better"
    WITHIN = "not worse than the margin allows"
    WORSE_WITHIN = "worse, within margin"
    WORSE = "worse; whether beyond the margin is open"
    BEYOND = "worse than the margin allows"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a metric must keep to; frozen with its epoch.

    Args:
        limit: the effect at the margin; `harm` is evidence on the harm side of it.
        harm: ABOVE when lower values are better, else BELOW.
        equal: the effect of two equal versions: 0 for differences, 1 for ratios, `None` for a
            ceiling.
        safe_limit: the effect that `safe` must exclude; the limit itself unless label errors
            shrink the difference (`audited.shrunk_margin`).
        periodic: whether every unit gives one value per period, without end. Then each period has
            its own account of harm at the share v_k = 1 / (k (k + 1)), and safe reads the first.

    Raises:
        InputError: a value that is not finite, or a safe limit on the harm side of the limit.
    """

    limit: float
    harm: Side = Side.ABOVE
    equal: float | None = 0.0
    safe_limit: float | None = None
    periodic: bool = False

    def __post_init__(self) -> None:
        finite("limit", self.limit)
        if self.safe_limit is not None:
            gap = finite("safe_limit", self.safe_limit) - self.limit
            if gap > 0 if self.harm is Side.ABOVE else gap < 0:
                raise InputError("safe_limit", self.safe_limit, "must not lie beyond the limit")

    @property
    def to_exclude(self) -> float:
        return self.limit if self.safe_limit is None else self.safe_limit

    def share(self, period: int) -> float:
        """v_k, the part of alpha that period k = 1, 2, ... may spend on harm."""
        return 1 / (period * (period + 1)) if self.periodic else 1.0


@dataclass(frozen=True)
class Alphas:
    """The two levels of one metric: `safe` for promotion, `harm` for rollback."""

    safe: float
    harm: float

    def __post_init__(self) -> None:
        open_unit("safe", self.safe)
        open_unit("harm", self.harm)


def split_alpha(
    *,
    guardrails: int,
    alpha: float = 0.05,
    protected: int = 0,
    paths: int = 1,
    challengers: int = 1,
    attempt: int | None = None,
) -> Alphas:
    """How one rollout spends its alpha.

        harm: alpha / G,  G = guardrails (1 + protected slices) paths;   safe: alpha / K challengers

    Rollback is a union, so alpha is split; promotion needs every metric, so it is not.

    Args:
        guardrails: metrics whose harm rolls back, at least 1.
        alpha: chance of ever declaring harm in this rollout while all margins are kept.
        protected: protected slices, each judged for harm on every guardrail.
        paths: tests per guardrail (2 with a fast path of its own).
        challengers: versions in the same rollout.
        attempt: a = 1, 2, ... when the same challenger comes again with an empty account; alpha
            becomes alpha / (a (a + 1)). `None` keeps the account and the alpha.

    Raises:
        InputError: a count below its least, or alpha outside (0, 1).

    References:
        Schultzberg, Ankargren & Franberg (2024), arXiv 2402.11609 (intersection-union).

    >>> split_alpha(guardrails=4, protected=1)
    Alphas(safe=0.05, harm=0.00625)
    """
    least = {"guardrails": 1, "protected": 0, "paths": 1, "challengers": 1, "attempt": 1}
    given = (guardrails, protected, paths, challengers, 1 if attempt is None else attempt)
    for (name, least_value), value in zip(least.items(), given, strict=True):
        if value < least_value:
            raise InputError(name, value, f"must be at least {least_value}")
    spent = open_unit("alpha", alpha)
    if attempt is not None:
        spent /= attempt * (attempt + 1)
    return Alphas(safe=spent / challengers, harm=spent / (guardrails * (1 + protected) * paths))


@dataclass(frozen=True)
class Judgement:
    """One metric at one look. Store `peak` and give it to the next look: harm is latched by it."""

    verdict: Verdict
    safe: Evidence
    harm: Evidence
    peak: float
    standing: Standing
    reasons: tuple[str, ...] = ()

    @property
    def interval(self) -> Interval | None:
        """Between the bound of safe and that of harm, each at its level; `None`: nothing fits."""
        if self.safe.interval is None or self.harm.interval is None:
            return None
        return self.safe.interval.meet(self.harm.interval)


def judge(
    question: Question,
    alphas: Alphas,
    periods: Sequence[Sequence[Epoch]],
    *,
    peak: float = -math.inf,
    invalid: tuple[str, ...] = (),
    worst: Sequence[Epoch] = (),
) -> Judgement:
    """What the frozen counts say about one metric.

        E_safe = product over the epochs of period 1, now
        E_harm = max_k v_k sum_s v_s E(period k, epochs s..now), its greatest value so far

    Args:
        question: the metric's margin.
        alphas: from `split_alpha`.
        periods: for each period its epochs, oldest first; one period unless the question is
            periodic.
        peak: log E_harm at its highest in earlier looks.
        invalid: why the data cannot be trusted (sample ratio, coverage, stale routes ...).
        worst: the epochs of period 1 once more, with the units whose outcome nobody saw counted as
            bad in both arms. Safe must then be proven of both: then a version cannot hide its
            errors by not answering. None where every outcome is seen.

    Raises:
        InputError: no period, or several for a question that has none.

    Example: 2 % errors against 2 %, and a margin of one point.

    >>> from evidence.effects import Arms, Difference
    >>> test = Difference(Arms(pi=0.5, centre=0.02, sd=0.14))
    >>> data = [[Epoch(test, [[9800, 200], [9800, 200]])]]
    >>> found = judge(Question(limit=0.01), split_alpha(guardrails=2), data)
    >>> print(found.verdict, "-", found.standing)
    safe - not worse than the margin allows
    """
    if not periods or (len(periods) > 1 and not question.periodic):
        raise InputError("periods", len(periods), "must be one, or more of a periodic question")
    seen = safe = _account_of_safe(question, alphas.safe, periods[0])
    if worst:
        unseen = _account_of_safe(question, alphas.safe, worst)
        if unseen.log_e < seen.log_e:
            safe = replace(seen, log_e=unseen.log_e, interval=unseen.interval)
    harm = _account_of_harm(question, alphas.harm, periods)
    reasons = (*invalid, CONTRADICTION) if safe.interval is None else invalid
    highest = max(peak, harm.log_e)
    verdict = _verdict(safe, latched=highest >= -math.log(alphas.harm), invalid=reasons)
    if verdict is Verdict.UNDECIDED and seen.rejects:
        reasons = (UNSEEN,)
    return Judgement(
        verdict, safe, harm, highest, _standing(question, verdict, safe, harm), reasons
    )


def log_safe(question: Question, epochs: Sequence[Epoch]) -> Floats:
    """log E_safe now, in nats, of the epochs of period 1; leading axes of the counts are looks.

    >>> from evidence.effects import Arms, Difference
    >>> test = Difference(Arms(pi=0.5, centre=0.02, sd=0.14))
    >>> looks = [[[980, 20], [980, 20]], [[9800, 200], [9800, 200]]]
    >>> log_safe(Question(limit=0.01), [Epoch(test, looks)]).round(1).tolist()
    [0.6, 10.3]
    """
    return log_e(epochs, question.to_exclude, question.harm.other)


def log_harm(question: Question, periods: Sequence[Sequence[Epoch]]) -> Floats:
    """log E_harm now, in nats, which its peak latches; leading axes of the counts are looks.

    >>> from evidence.effects import Arms, Difference
    >>> test = Difference(Arms(pi=0.5, centre=0.02, sd=0.14))
    >>> looks = [[[980, 20], [980, 20]], [[9800, 200], [9600, 400]]]
    >>> log_harm(Question(limit=0.01), [[Epoch(test, looks)]]).round(1).tolist()
    [-0.4, 6.3]
    """
    logs = [
        log_e_late(epochs, question.limit, question.harm) + math.log(question.share(k))
        for k, epochs in enumerate(periods, start=1)
    ]
    return np.asarray(np.max(logs, axis=0))


def overall(verdicts: Mapping[str, Verdict], guardrails: Collection[str]) -> Verdict:
    """The verdict over metrics: any guardrail's harm is harm, every metric's safe is safe.

    Intersection-union for promotion, union for rollback (over alpha already split). A metric that
    is no guardrail can hold but never roll back: its harm reads undecided.

    Raises:
        InputError: a guardrail without a verdict, or no verdicts at all.

    >>> print(overall({"errors": Verdict.SAFE, "latency": Verdict.NO_DATA}, ["errors"]))
    no-data
    """
    missing = sorted(set(guardrails) - set(verdicts))
    if missing or not verdicts:
        raise InputError("guardrails", missing, "must each have a verdict")
    if any(verdicts[name] is Verdict.HARM for name in guardrails):
        return Verdict.HARM
    found = set(verdicts.values())
    for each in (Verdict.INVALID, Verdict.NO_DATA):
        if each in found:
            return each
    return Verdict.SAFE if found == {Verdict.SAFE} else Verdict.UNDECIDED


@dataclass(frozen=True)
class Extra:
    """Extra bad outcomes so far: `least` may roll back, `estimate` may hold, `most` is shown."""

    least: float
    estimate: float
    most: float


def harm_budget(found: Judgement, exposed: int) -> Extra:
    """Extra bad outcomes of `exposed` challenger units, for a difference whose harm is ABOVE.

        exposed x (bound of harm, estimate, bound of safe), none below 0

    Raises:
        InputError: exposed is negative, or the metric has no interval or no estimate.

    >>> from evidence.effects import Arms, Difference
    >>> test = Difference(Arms(pi=0.5, centre=0.02, sd=0.14))
    >>> data = [[Epoch(test, [[9800, 200], [9500, 500]])]]
    >>> found = judge(Question(limit=0.01), split_alpha(guardrails=2), data)
    >>> extra = harm_budget(found, exposed=10_000)
    >>> round(extra.least), round(extra.estimate), round(extra.most)
    (212, 300, 379)
    """
    middle, harm, safe = found.harm.estimate, found.harm.interval, found.safe.interval
    if exposed < 0:
        raise InputError("exposed", exposed, "must not be negative")
    if middle is None or harm is None or safe is None:
        raise InputError("found", found.verdict.value, "must have an estimate and an interval")
    least, estimated, most = (max(0.0, exposed * e) for e in (harm.lower, middle, safe.upper))
    return Extra(least, estimated, max(least, most))


def _account_of_safe(question: Question, alpha: float, epochs: Sequence[Epoch]) -> Evidence:
    good = question.harm.other
    return Evidence(
        n=units(epochs),
        estimate=estimate(epochs),
        interval=_beyond(bound(epochs, good, alpha=alpha), good),
        log_e=float(log_safe(question, epochs)),
        alpha=alpha,
        assumes=epochs[0].statistic.assumes,
    )


def _account_of_harm(
    question: Question, alpha: float, periods: Sequence[Sequence[Epoch]]
) -> Evidence:
    """The strongest of the periods' accounts, each at its share of alpha."""
    ends = [
        bound(epochs, question.harm, alpha=alpha * question.share(k), account=log_e_late)
        for k, epochs in enumerate(periods, start=1)
    ]
    return Evidence(
        n=units(periods[0]),
        estimate=estimate(periods[0]),
        interval=_beyond((max if question.harm is Side.ABOVE else min)(ends), question.harm),
        log_e=float(log_harm(question, periods)),
        alpha=alpha,
        assumes=periods[0][0].statistic.assumes,
    )


def _beyond(end: float, side: Side) -> Interval | None:
    """All effects on `side` of a bound; `None` when the bound itself lies beyond all of them."""
    if side is Side.ABOVE:
        return Interval(end, math.inf) if end < math.inf else None
    return Interval(-math.inf, end) if end > -math.inf else None


def _verdict(safe: Evidence, *, latched: bool, invalid: tuple[str, ...]) -> Verdict:
    """In order of who outranks whom: proven harm stands even on data that are in doubt."""
    if latched:
        return Verdict.HARM
    if invalid:
        return Verdict.INVALID
    if not safe.n:
        return Verdict.NO_DATA
    return Verdict.SAFE if safe.rejects else Verdict.UNDECIDED


def _standing(question: Question, verdict: Verdict, safe: Evidence, harm: Evidence) -> Standing:
    if verdict is Verdict.HARM:
        return Standing.BEYOND
    equal = question.equal
    if equal is not None and safe.interval is not None and harm.interval is not None:
        better, worse = equal not in safe.interval, equal not in harm.interval
        if better and not worse and safe.rejects:
            return Standing.BETTER
        if worse:
            return Standing.WORSE_WITHIN if safe.rejects else Standing.WORSE
    return Standing.WITHIN if safe.rejects else Standing.OPEN
