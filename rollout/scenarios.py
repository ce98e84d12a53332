"""What a plan supposes of the challengers: how far from the champion each metric is. Pure."""

from msgspec import Struct

from rollout.metrics import QUANTILES, stat_of
from rollout.needs import RATE
from rollout.rates import Rates, disagreement
from rollout.spec import Metric, Spec
from streams.errors import InputError
from streams.yamls import nearest


class Shift(Struct, frozen=True, kw_only=True):
    """A challenger's value is the champion's times 1 + `relative`, plus `absolute`."""

    relative: float = 0.0
    absolute: float = 0.0

    def of(self, value: float) -> float:
        return value * (1 + self.relative) + self.absolute


class Scenario(Struct, frozen=True, kw_only=True):
    """Every challenger is so far from the champion; a metric that is not named is equal.

    Of a ceiling the shift is from what pairs are known to do, or from half of the ceiling.
    """

    name: str
    shifts: dict[str, Shift] = {}


MARGINS = {
    "equal": 0.0,
    "better by the margin": -1.0,
    "worse by the margin": 1.0,
    "worse by twice the margin": 2.0,
}
"""How many margins worse every metric is. At one margin no guardrail is harmed and none is safe."""


def scenarios(spec: Spec, rates: Rates, stated: dict[str, Shift]) -> list[Scenario]:
    """Those of `MARGINS`, and the operator's own where one is `stated`."""
    found = [
        Scenario(
            name=name,
            shifts={m.name: _worse(spec, m, rates, margins) for m in spec.metrics if margins},
        )
        for name, margins in MARGINS.items()
    ]
    return [*found, Scenario(name="as stated", shifts=stated)] if stated else found


def effect(text: str, spec: Spec) -> tuple[str, Shift]:
    """An operator's NAME=CHANGE: misses=-0.005 in units of the metric, errors=+20% of its value.

    Raises InputError for anything else.
    """
    name, _, said = text.partition("=")
    if name not in spec.by_name:
        raise InputError(
            f"--effect: the spec has no metric {name!r}",
            field="--effect",
            fix=nearest(name, spec.by_name),
        )
    try:
        change = float(said.removesuffix("%"))
    except ValueError:
        raise InputError(
            f"--effect: {said!r} is no change of {name}",
            field="--effect",
            fix=f"{name}=+0.01, in units of the metric, or {name}=+20%",
        ) from None
    return name, Shift(relative=change / 100) if said.endswith("%") else Shift(absolute=change)


def base(spec: Spec, metric: Metric, rates: Rates) -> float:
    """The champion's value, or what a ceiling is held against; of a quantile the share beyond."""
    stat = stat_of(metric)
    if metric.source == "pair":
        return disagreement(spec, rates)
    if stat is not None and stat in QUANTILES:
        beyond = 1 - QUANTILES[stat]
        return beyond / 2 if metric.ceiling is not None else beyond
    known = rates.of(metric.name).mean
    if known is not None:
        return known
    return (metric.ceiling or 2 * RATE) / 2 if stat == "rate" else RATE * (metric.cap or 1.0)


def _worse(spec: Spec, metric: Metric, rates: Rates, margins: float) -> Shift:
    if metric.margin is None:
        stat = stat_of(metric)
        is_quantile = stat is not None and stat in QUANTILES
        limit = 1 - QUANTILES[stat] if stat is not None and is_quantile else metric.ceiling or 0.0
        return Shift(absolute=margins * (limit - base(spec, metric, rates)))
    sign = margins if metric.better == "lower" else -margins
    if metric.margin.absolute is not None:
        return Shift(absolute=sign * metric.margin.absolute)
    return Shift(relative=sign * (metric.margin.relative or 0.0))
