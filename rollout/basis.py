"""What a plan stands on, number by number: what is stated, was recorded, or is assumed. Pure."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from rollout.metrics import QUANTILES, stat_of
from rollout.needs import SIGMA
from rollout.rates import QUANTILE_MS, Rates, disagreement
from rollout.scenarios import base
from rollout.spec import Metric, Spec

Known = Literal["stated", "recorded", "assumed"]
_NOTHING = Rates()


class Basis(Struct, frozen=True, kw_only=True):
    """A number of the traffic, by its place in a file of rates.

    `value` is None where nothing is known that a number could say: an `sd` without one means that
    values are 0 or at the cap, `units` without one that every request is of a new unit.
    """

    of: str
    field: str
    value: float | None
    known: Known


def basis(spec: Spec, *, stated: Rates, recorded: Rates) -> Iterator[Basis]:
    """Every number that the futures of this spec hang on."""
    for metric in spec.metrics:
        for field, assumed in _fields(spec, metric):
            both = (getattr(rates.of(metric.name), field) for rates in (stated, recorded))
            yield _known(metric.name, field, *both, assumed=assumed)
    wanted: dict[str, float | None] = {}
    if any(metric.paired or metric.source == "pair" for metric in spec.metrics):
        wanted["disagree"] = disagreement(spec, _NOTHING)
    if spec.assignment.sticky:
        wanted["units"] = None
    if any(stage.supervised for stage in spec.stages):
        wanted["scope"] = 1.0
    for field, assumed in wanted.items():
        both = (getattr(rates, field) for rates in (stated, recorded))
        yield _known("traffic", field, *both, assumed=assumed)


def _known(
    of: str, field: str, stated: float | None, recorded: float | None, *, assumed: float | None
) -> Basis:
    if stated is not None:
        return Basis(of=of, field=field, value=stated, known="stated")
    if recorded is not None:
        return Basis(of=of, field=field, value=recorded, known="recorded")
    return Basis(of=of, field=field, value=assumed, known="assumed")


def _fields(spec: Spec, metric: Metric) -> Iterator[tuple[str, float | None]]:
    """The fields of `Rate` that say something of a metric, with what is assumed of each."""
    stat, margin = stat_of(metric), metric.margin
    if metric.source in ("drift", "pair"):
        return
    if stat in QUANTILES:
        yield "spread", SIGMA
        if margin is not None and margin.absolute is not None:
            yield "mean", QUANTILE_MS
        return
    yield "mean", base(spec, metric, _NOTHING)
    if stat == "mean" and metric.source not in ("label", "audit"):
        yield "sd", None
    if metric.source in ("label", "audit"):
        yield "labelled", 1.0
