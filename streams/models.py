"""What a model's owner declares, and what intake does with it.

A declaration is immutable: registering again appends a revision (see `streams.registry`).
Slices keep their slot for ever, because ledger rows store them as a bit mask.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from streams.errors import InputError
from streams.events import Name, Share

MAX_SLICES = 63
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
PANE_WIDTHS_MS = (6 * HOUR_MS, HOUR_MS, 10 * MINUTE_MS, MINUTE_MS)
_DURATION = re.compile(r"(\d{1,6})(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}

Duration = Annotated[str, Meta(pattern=r"^\d{1,6}(ms|s|m|h|d)$", description="for example 14d")]


def duration_ms(text: str) -> int:
    """Milliseconds of `14d`, `6h`, `10m`, `30s` or `500ms`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a duration", fix="write it like 14d, 6h, 10m or 30s")
    return int(match[1]) * _UNIT_MS[match[2]]


def pane_width_ms(horizon_ms: int) -> int:
    """The widest pane that is at most a hundredth of the horizon; never under a minute."""
    return next((w for w in PANE_WIDTHS_MS if w <= horizon_ms // 100), MINUTE_MS)


class Feature(Struct, frozen=True, forbid_unknown_fields=True):
    """One input of the model."""

    type: Literal["number", "category", "boolean"]
    minimum: float | None = None
    maximum: float | None = None
    unit: str | None = None
    description: str | None = None


class Costs(Struct, frozen=True, forbid_unknown_fields=True):
    """What one error of each kind costs, in the owner's currency."""

    false_alarm: Annotated[float, Meta(ge=0)]
    miss: Annotated[float, Meta(ge=0)]
    currency: Annotated[str, Meta(min_length=1, max_length=12)] = "units"


class Term(Struct, frozen=True, forbid_unknown_fields=True, rename={"equals": "is"}):
    """One condition: a tag or feature is a value, is missing, or a feature is in [from, below)."""

    tag: Name | None = None
    feature: Name | None = None
    equals: str | bool | float | None = None
    at_least: float | None = msgspec.field(default=None, name="from")
    below: float | None = None
    missing: bool = False

    def fault(self) -> str:
        """Why this term says nothing that can be evaluated, or an empty string."""
        ranged = self.at_least is not None or self.below is not None
        kinds = (self.equals is not None) + ranged + self.missing
        if (self.tag is None) == (self.feature is None):
            return "needs exactly one of tag and feature"
        if kinds != 1:
            return "needs exactly one of is, from/below, and missing"
        if self.tag is not None and (ranged or not isinstance(self.equals, str)):
            return "a tag is compared with text: is"
        return ""


class Slice(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the traffic: all terms hold. `protected` ones join the guardrails."""

    name: Name
    where: Annotated[tuple[Term, ...], Meta(min_length=1, max_length=4)]
    protected: bool = False


class Declaration(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model as its owner declares it. An unknown model is observed under the defaults."""

    model: Name
    task: Literal["classification", "regression", "detection", "text", "observed"]
    owner: str = ""
    description: str = ""
    classes: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()
    positive: Name | None = None
    features: dict[Name, Feature] = {}
    costs: Costs | None = None
    thresholds: dict[Name, Share] = {}
    horizons: dict[Name, Duration] = msgspec.field(default_factory=lambda: {"outcome": "7d"})
    pair_horizon: Duration = "10m"
    slices: Annotated[tuple[Slice, ...], Meta(max_length=MAX_SLICES)] = ()
    join: Literal["first", "latest", "all"] = "latest"
    sensitive: tuple[Name, ...] = ()
    keep_inputs: Literal["sampled", "all"] = "sampled"

    @property
    def binary(self) -> bool:
        return self.task == "classification" and len(self.classes) == 2

    @property
    def positive_class(self) -> str:
        """Of a binary model: the class whose probability `score` is; the second unless declared."""
        return self.positive or self.classes[1]

    def horizon_ms(self, source: str) -> int | None:
        """How long labels of `source` are waited for; None when the source is not declared."""
        text = self.horizons.get(source)
        return None if text is None else duration_ms(text)

    def longest_horizon_ms(self) -> int:
        return max((duration_ms(text) for text in self.horizons.values()), default=0)


def observed(model: str) -> Declaration:
    """What holds for a model that nobody registered: it is counted, never judged."""
    return Declaration(model=model, task="observed")


_SOURCE = re.compile(r"outcome|audit|feedback:.{1,100}")


def checked(declaration: Declaration) -> Declaration:
    """`declaration` itself; raises InputError naming the first field that contradicts another."""
    for field, rule in _faults(declaration):
        raise InputError(f"{field}: {rule}", field=field, rule=rule)
    return declaration


def _faults(d: Declaration) -> list[tuple[str, str]]:
    """(field, rule) of everything that contradicts."""
    return [*_class_faults(d), *_horizon_faults(d), *_slice_faults(d)]


def _class_faults(d: Declaration) -> Iterator[tuple[str, str]]:
    if d.task == "observed":
        yield "task", "'observed' is for models that nobody declared"
    if d.task == "classification" and len(d.classes) < 2:
        yield "classes", "a classification has at least two classes"
    if len(set(d.classes)) != len(d.classes):
        yield "classes", "a class is named twice"
    if d.positive is not None and (not d.binary or d.positive not in d.classes):
        yield "positive", "must be one of the two classes of a binary model"


def _horizon_faults(d: Declaration) -> Iterator[tuple[str, str]]:
    for source, text in d.horizons.items():
        if not _SOURCE.fullmatch(source):
            yield f"horizons.{source}", "a source is outcome, audit or feedback:<name>"
        elif not MINUTE_MS <= duration_ms(text) <= 400 * DAY_MS:
            yield f"horizons.{source}", "must be between 1m and 400d"


def _slice_faults(d: Declaration) -> Iterator[tuple[str, str]]:
    if len({part.name for part in d.slices}) != len(d.slices):
        yield "slices", "two slices share a name"
    for part in d.slices:
        for k, term in enumerate(part.where):
            if term.fault():
                yield f"slices.{part.name}.where[{k}]", term.fault()
    for name in d.sensitive:
        if d.features and name not in d.features:
            yield "sensitive", f"{name!r} is not a declared feature"


def slices_kept(before: Declaration, after: Declaration) -> None:
    """Raises InputError unless every slice of `before` stands unchanged in its slot in `after`."""
    for slot, part in enumerate(before.slices):
        if slot >= len(after.slices) or after.slices[slot] != part:
            raise InputError(
                f"slices[{slot}]: {part.name!r} was changed, moved or removed",
                field=f"slices[{slot}]",
                rule="slices are append-only: ledger rows store them by slot",
                fix="keep it as it is and add a new slice at the end",
            )


def read_declaration(value: dict[str, Any]) -> Declaration:
    """A checked declaration from decoded YAML or JSON; errors name the field."""
    try:
        return checked(msgspec.convert(value, Declaration))
    except msgspec.ValidationError as error:
        rule, _, place = str(error).partition(" - at `$.")
        field = place.rstrip("`")
        raise InputError(f"{field or 'model'}: {rule}", field=field, rule=rule) from error
