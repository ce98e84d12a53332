"""The table of spec forms: one frozen statistic for each way to write a guardrail.

| form | statistic | harm rejects | safe rejects |
|---|---|---|---|
| difference: rate or capped mean, absolute d | S4 difference | mu_B - mu_A <= d | >= d |
| event share: rate, relative g, incidence <= .2 | S2 on events | mu_B / mu_A <= 1 + g | >= 1 + g |
| ratio: other rate, capped mean >= 0, relative g | S4 ratio | mu_B / mu_A <= 1 + g | >= 1 + g |
| quantile: relative g or absolute d | S4 difference of exceedances | P(Y_B) <= P(Y_A) | >= |
| ceiling: rate or quantile ceiling | S2, one arm | p <= p0 | p >= p0 |
| paired difference: label or audit, absolute d | S3 | mean loss_B - loss_A <= d | >= d |
| paired ratio: label or audit, relative g | S3 | mean loss_B - (1+g) loss_A <= 0 | >= 0 |
| asymptotic: uncapped mean, ratio of sums | S5 | freezes the ramp | never the only gate |
| heuristic: drift ceiling | none | holds | never |

Lower is better; where higher is better the limit and the side are mirrored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from evidence.bets import Statistic
from evidence.decision import Question
from evidence.domain import InputError, finite
from evidence.effects import Arms, Difference, Ratio
from evidence.names import Form
from evidence.paired import PairedDifference, PairedRatio, Pairs
from evidence.results import Side
from evidence.risks import EventShare, OneArmShare

__all__ = ["RARE", "Form", "Frozen", "Guardrail", "statistic"]

T = TypeVar("T")

RARE = 0.2  # the highest incidence per unit at which the event share is worth its power


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """What is fixed before an epoch's first unit, whatever the form.

    Args:
        margin: d or g, at least 0, in units of the metric or as a share of the champion's value;
            for a ceiling p0 itself; 0 for a quantile, whose margin is in its threshold.
        higher_is_better: mirrors limit and side.
        arms: for difference, ratio and quantile; of a quantile count Y_A = [L > t0] and
            Y_B = [L > (1 + g) t0], with t0 at an exact bucket edge.
        pairs: for both paired forms.
        pi: assignment probability, for the event share.
        incidence: expected share of units with the event, for the event share.
        safe_margin: what `safe` must keep to, where label errors shrink the difference.
        periodic: see `Question`.

    Raises:
        InputError: a margin that is negative or not finite.
    """

    margin: float
    higher_is_better: bool = False
    arms: Arms | None = None
    pairs: Pairs | None = None
    pi: float | None = None
    incidence: float | None = None
    safe_margin: float | None = None
    periodic: bool = False

    def __post_init__(self) -> None:
        for name in ("margin", "safe_margin"):
            value = getattr(self, name)
            if value is not None and finite(name, value) < 0:
                raise InputError(name, value, "must not be negative")


@dataclass(frozen=True)
class Guardrail:
    """A guardrail as it is tested.

    `statistic` is `None` where no counts are tested exactly. `rolls_back` and `gates` say what its
    verdicts may do: roll a version back, and be all that stands before a promotion.
    """

    statistic: Statistic | None
    question: Question
    rolls_back: bool = True
    gates: bool = True


def statistic(form: Form, frozen: Frozen) -> Guardrail:
    """The one statistic of a spec form.

    Args:
        form: row of the table above.
        frozen: its parameters.

    Raises:
        InputError: a parameter that the form needs is missing, or does not fit it.

    Example: errors may rise by half; a tenth of the units goes to the challenger.

    >>> test = statistic(Form.EVENT_SHARE, Frozen(margin=0.5, pi=0.1, incidence=0.02))
    >>> test.statistic, test.question.limit
    (EventShare(pi=0.1), 1.5)
    """
    return _TABLE[form](frozen)


def _question(frozen: Frozen, equal: float) -> Question:
    """The limit `margin` away from equal, on the side where the metric gets worse."""
    sign = -1 if frozen.higher_is_better else 1
    safe = None if frozen.safe_margin is None else equal + sign * frozen.safe_margin
    return Question(
        limit=equal + sign * frozen.margin,
        harm=Side.BELOW if frozen.higher_is_better else Side.ABOVE,
        equal=equal,
        safe_limit=safe,
        periodic=frozen.periodic,
    )


def _difference(frozen: Frozen) -> Guardrail:
    return Guardrail(Difference(_given("arms", frozen.arms)), _question(frozen, 0.0))


def _event_share(frozen: Frozen) -> Guardrail:
    incidence = _given("incidence", frozen.incidence)
    if not 0 < incidence <= RARE:
        raise InputError("incidence", incidence, f"must be above 0 and at most {RARE}")
    return Guardrail(EventShare(_given("pi", frozen.pi)), _question(frozen, 1.0))


def _ratio(frozen: Frozen) -> Guardrail:
    return Guardrail(Ratio(_given("arms", frozen.arms)), _question(frozen, 1.0))


def _quantile(frozen: Frozen) -> Guardrail:
    arms = _given("arms", frozen.arms)
    if (min(arms.levels), max(arms.levels)) != (0.0, 1.0):
        raise InputError("arms", arms.levels, "must have levels from 0 to 1: how often L > t")
    if frozen.margin:
        raise InputError("margin", frozen.margin, "must be 0: a quantile's is in its threshold")
    return Guardrail(Difference(arms), _question(frozen, 0.0))


def _ceiling(frozen: Frozen) -> Guardrail:
    if not 0 < frozen.margin < 1:
        raise InputError("margin", frozen.margin, "must lie strictly between 0 and 1")
    if frozen.higher_is_better:
        raise InputError("higher_is_better", True, "must be false: count what has a ceiling")
    question = Question(limit=frozen.margin, equal=None, safe_limit=frozen.safe_margin)
    return Guardrail(OneArmShare(), question)


def _paired_difference(frozen: Frozen) -> Guardrail:
    return Guardrail(PairedDifference(_given("pairs", frozen.pairs)), _question(frozen, 0.0))


def _paired_ratio(frozen: Frozen) -> Guardrail:
    return Guardrail(PairedRatio(_given("pairs", frozen.pairs)), _question(frozen, 1.0))


def _asymptotic(frozen: Frozen) -> Guardrail:
    return Guardrail(None, _question(frozen, 0.0), rolls_back=False, gates=False)


def _heuristic(frozen: Frozen) -> Guardrail:
    question = Question(limit=frozen.margin, equal=None)
    return Guardrail(None, question, rolls_back=False, gates=False)


_TABLE: Mapping[Form, Callable[[Frozen], Guardrail]] = MappingProxyType(
    {
        Form.DIFFERENCE: _difference,
        Form.EVENT_SHARE: _event_share,
        Form.RATIO: _ratio,
        Form.QUANTILE: _quantile,
        Form.CEILING: _ceiling,
        Form.PAIRED_DIFFERENCE: _paired_difference,
        Form.PAIRED_RATIO: _paired_ratio,
        Form.ASYMPTOTIC: _asymptotic,
        Form.HEURISTIC: _heuristic,
    }
)


def _given(name: str, value: T | None) -> T:
    if value is None:
        raise InputError(name, None, "must be given for this form")
    return value
