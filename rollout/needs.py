"""How much evidence a metric of a spec needs, before there is any: S11 under stated assumptions.

What recorded traffic shows (`Seen`) stands in the place of assumptions; without it these numbers
show what a margin costs while it is being written.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scipy.special import ndtr, ndtri

from evidence.audited import LADDER
from evidence.decision import split_alpha
from evidence.effects import Arms
from evidence.forms import Form, Frozen, Guardrail, statistic
from evidence.paired import Pairs
from evidence.planning import forecast, sd_assigned
from rollout.metrics import QUANTILES, form_of, stat_of
from rollout.spec import Audits, Metric, Spec

RATE = 0.05  # of the champion's units that err, until traffic says otherwise
DISAGREE = 0.06  # of the pairs, unless the spec has a ceiling for them
SIGMA = 0.5  # of ln(latency): the 95th percentile is 2.3 times the median


@dataclass(frozen=True)
class Seen:
    """What recorded traffic shows of the champion; None: nothing.

    Args:
        rate: share of its units that err, of this metric.
        disagree: share of the pairs in which the versions differ.
    """

    rate: float | None = None
    disagree: float | None = None


NOTHING = Seen()


@dataclass(frozen=True)
class Need:
    """Units (or pairs) until an equal version is called safe: in half the runs, in nine of ten.

    `labels` are those that people give, at the median. `sd` is of one unit's part in the effect.
    `assuming` says what was not known, or what was recorded.
    """

    units: int
    ninety: int
    labels: int
    sd: float
    assuming: str


@dataclass(frozen=True)
class _Guess:
    """Distance to the margin, spread of one unit, labels a unit costs, and what was assumed."""

    distance: float
    sd: float
    assuming: str
    labels: float = 0.0


def guardrail_of(spec: Spec, metric: Metric, *, pi: float = 0.5) -> Guardrail:
    """The statistic that evidence would use for `metric`, and what its verdicts may do.

    Raises evidence's InputError for a limit that its form cannot test.
    """
    form = form_of(metric)
    margin = metric.margin
    limit = 0.0 if margin is None else (margin.absolute or margin.relative or 0.0)
    if form is Form.CEILING:
        limit = _ceiling_share(metric)
    elif form is Form.HEURISTIC:
        limit = metric.ceiling or 0.0
    frozen = Frozen(
        margin=0.0 if form is Form.QUANTILE else limit,
        higher_is_better=metric.better == "higher",
        arms=Arms(pi=pi, centre=RATE, sd=_sd(RATE)),
        pairs=Pairs(q=_probabilities(spec, metric), sigma0=math.sqrt(DISAGREE)),
        pi=pi,
        incidence=RATE,
    )
    return statistic(form, frozen)


def need(spec: Spec, metric: Metric, *, weight: float, seen: Seen = NOTHING) -> Need | None:
    """What `metric` needs at `weight` per cent; None where only recorded traffic can tell."""
    guess = _GUESSES.get(form_of(metric), _unknown)(spec, metric, seen)
    if guess is None or not guess.distance > 0:
        return None
    alphas = split_alpha(
        guardrails=len(spec.guardrails), alpha=spec.judge.alpha, challengers=len(spec.challengers)
    )
    share = weight / 100
    pi = share / (share + 1 - len(spec.challengers) * share) if share else 0.5
    paired = form_of(metric) in (Form.PAIRED_DIFFERENCE, Form.PAIRED_RATIO, Form.CEILING)
    sd = guess.sd if paired else sd_assigned(guess.sd, pi=pi)
    found = forecast(
        guess.distance, sd, units_per_day=1.0, alpha=alphas.safe, labels_per_unit=guess.labels
    )
    return Need(found.median, found.ninety, found.labels, sd, guess.assuming)


def audit_probability(wanted: float) -> float:
    """The step of the frozen ladder that a wanted probability becomes: never below it, never 0."""
    return min((step for step in LADDER if step >= min(wanted, 1.0) - 1e-12), default=1.0)


def _difference(_: Spec, metric: Metric, seen: Seen) -> _Guess | None:
    if stat_of(metric) != "rate":
        return None
    assert metric.margin is not None
    margin, rate = metric.margin, seen.rate or RATE
    distance = margin.absolute if margin.absolute is not None else rate * (margin.relative or 0.0)
    labels = 1.0 if metric.source == "audit" else 0.0
    return _Guess(distance, _sd(rate), f"the champion's rate is {_share(rate, seen.rate)}", labels)


def _quantile(_: Spec, metric: Metric, __: Seen) -> _Guess | None:
    stat = stat_of(metric)
    relative = None if metric.margin is None else metric.margin.relative
    if stat is None or stat not in QUANTILES or relative is None:
        return None
    q = QUANTILES[stat]
    beyond = 1 - float(ndtr(ndtri(q) + math.log1p(relative) / SIGMA))
    return _Guess(1 - q - beyond, _sd(1 - q), f"latencies are lognormal with sigma {SIGMA:g}")


def _ceiling(_: Spec, metric: Metric, seen: Seen) -> _Guess | None:
    limit = _ceiling_share(metric)
    if metric.source == "pair" and seen.disagree is not None:
        said = f"the true share is {_share(seen.disagree, seen.disagree)}"
        return _Guess(limit - seen.disagree, _sd(max(seen.disagree, limit / 10)), said)
    return _Guess(limit / 2, _sd(limit / 2), f"the true share is {limit / 2:.3g}, half the ceiling")


def _paired(spec: Spec, metric: Metric, seen: Seen) -> _Guess | None:
    assert metric.margin is not None
    margin, disagree, rate = metric.margin, seen.disagree or _disagreement(spec), seen.rate or RATE
    agreed, disagreed = _probabilities(spec, metric)
    variance, distance = disagree / disagreed, margin.absolute
    if distance is None:
        relative = margin.relative or 0.0
        distance = rate * relative
        variance += relative**2 * rate / agreed
    audited = metric.source == "audit"
    labels = disagree * disagreed + (1 - disagree) * agreed
    said = f"the versions disagree on {_share(disagree, seen.disagree)}"
    return _Guess(distance, math.sqrt(variance), said, labels if audited else 0.0)


def _unknown(_: Spec, __: Metric, ___: Seen) -> _Guess | None:
    return None


def _share(used: float, seen: float | None) -> str:
    return f"{used:.0%}" if seen is None else f"{used:.2%}, as recorded"


_GUESSES: Mapping[Form, Callable[[Spec, Metric, Seen], _Guess | None]] = MappingProxyType(
    {
        Form.DIFFERENCE: _difference,
        Form.EVENT_SHARE: _difference,
        Form.RATIO: _difference,
        Form.QUANTILE: _quantile,
        Form.CEILING: _ceiling,
        Form.PAIRED_DIFFERENCE: _paired,
        Form.PAIRED_RATIO: _paired,
    }
)


def _probabilities(spec: Spec, metric: Metric) -> tuple[float, float]:
    """Inclusion probabilities of agreements and of disagreements."""
    if metric.source != "audit" or spec.audits is None or not spec.audits.rate:
        return 1.0, 1.0
    audits: Audits = spec.audits
    boosted = audit_probability(audits.rate * audits.boost.disagreement)
    return audit_probability(audits.rate), boosted


def _disagreement(spec: Spec) -> float:
    """What the spec allows of disagreement, else what is usual."""
    allowed = [m.ceiling for m in spec.metrics if m.source == "pair" and m.ceiling]
    return min((c for c in allowed if c < 1), default=DISAGREE)


def _ceiling_share(metric: Metric) -> float:
    """The share that a ceiling limits: itself for a rate, 1 - q above it for a quantile."""
    stat = stat_of(metric)
    if stat is not None and stat in QUANTILES:
        return 1 - QUANTILES[stat]
    return metric.ceiling or 0.0


def _sd(rate: float) -> float:
    return math.sqrt(rate * (1 - rate))
