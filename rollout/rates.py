"""What a plan takes traffic to be like: as it was recorded, or as an operator states it. Pure."""

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict, replace

from rollout.metrics import stat_of
from rollout.needs import DISAGREE
from rollout.spec import NotNegative, Positive, Spec
from streams import yamls
from streams.events import Name, Share
from streams.yamls import nearest

QUANTILE_MS = 100.0  # of the champion's latencies; a margin in ms is held against it


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """As in a spec, fields are camelCase in the file."""


class Rate(_Part, frozen=True, kw_only=True):
    """What is known of one metric under the champion; None: nothing.

    Args:
        mean, sd: of its values, in units of the metric: of a rate the share of its answers, of a
            quantile the quantile itself.
        spread: standard deviation of ln(latency).
        discordant: share of the pairs in which exactly one version errs.
        labelled: share of its labels that have come by the age at which they count.
    """

    mean: NotNegative | None = None
    sd: Positive | None = None
    spread: Positive | None = None
    discordant: Share | None = None
    labelled: Share | None = None


class Rates(_Part, frozen=True, kw_only=True):
    """What is known of the traffic.

    Args:
        disagree: share of the pairs in which the versions differ.
        units: how many sticky units there are; None: every request is of a new one.
        scope: share of the requests that a scope of the spec holds.
        metrics: by name.
    """

    disagree: Share | None = None
    units: Annotated[float, Meta(ge=1)] | None = None
    scope: Annotated[float, Meta(gt=0, le=1)] | None = None
    metrics: dict[Name, Rate] = {}

    def of(self, metric: str) -> Rate:
        return self.metrics.get(metric, Rate())


def read(text: bytes, spec: Spec, *, name: str = "file") -> Rates:
    """The rates that `text` states in YAML or JSON.

    Raises InputError with the line, the field and the nearest valid word.
    """
    found, lines = yamls.located(text, Rates, name=name)
    for word in found.metrics:
        if word not in spec.by_name:
            raise yamls.refused(
                f"the spec has no metric {word!r}", ("metrics", word), name=name, lines=lines,
                fix=nearest(word, spec.by_name),
            )  # fmt: skip
    for metric in spec.metrics:
        mean = found.of(metric.name).mean
        if mean is not None and stat_of(metric) == "rate" and mean > 1:
            raise yamls.refused(
                "is a share of the answers: at most 1", ("metrics", metric.name, "mean"),
                name=name, lines=lines,
            )  # fmt: skip
    return found


def joined(stated: Rates, recorded: Rates) -> Rates:
    """What is stated, and for the rest what was recorded."""
    names = dict.fromkeys([*recorded.metrics, *stated.metrics])
    metrics = {name: replace(recorded.of(name), **_said(stated.of(name))) for name in names}
    return replace(recorded, **_said(stated) | {"metrics": metrics})


def disagreement(spec: Spec, rates: Rates) -> float:
    """The share of the pairs that differ: half of what the spec allows, where nothing is known."""
    if rates.disagree is not None:
        return rates.disagree
    allowed = [m.ceiling for m in spec.metrics if m.source == "pair" and m.ceiling]
    return min([DISAGREE, *(ceiling / 2 for ceiling in allowed)])


def _said(part: Struct) -> dict[str, Any]:
    return {name: value for name, value in asdict(part).items() if value is not None}
