"""Revisions of a spec: what an edit changes, what it may not, and which edits loosen.

A spec is never changed; an edit is a new revision with its own digest. An edit that makes harm
harder to prove, or promotion easier, needs a second person. What cannot be ordered counts as
loosening, and so does a field that this table does not know.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from rollout.spec import Rollout
from streams.errors import InputError
from streams.models import duration_ms


class Change(Struct, frozen=True):
    """One value that differs; None where there is none. `loosens` needs a second person."""

    field: str
    before: Any
    after: Any
    loosens: bool


class Direction(Enum):
    """Which change of a field loosens."""

    MORE = "a larger value, or none any more"
    LESS = "a smaller value, or none any more"
    LIMIT = "a smaller value, or one where there was none"
    LOST = "an element that goes"
    GAINED = "an element that comes"
    STEPS = "a step that is larger than before, or fewer steps"
    CHANGED = "any change"
    NEVER = "no change"


DIRECTIONS: Mapping[Direction, tuple[str, ...]] = MappingProxyType(
    {
        Direction.MORE: (
            "spec.metrics.*.margin.absolute", "spec.metrics.*.margin.relative",
            "spec.metrics.*.ceiling", "spec.metrics.*.crash.ratio", "spec.suite.maxNewFailures",
            "spec.harmBudget.extra", "spec.blindAfter", "spec.stages.*.deadline",
            "spec.stages.*.weight", "spec.stages.*.confirmWithin",
        ),
        Direction.LESS: (
            "spec.attestation", "spec.judge.selfCheck", "spec.audits.rate", "spec.audits.opinions",
            "spec.audits.boost.disagreement", "spec.audits.boost.protected", "spec.onDeadline",
            "spec.stages.*.min.pairs", "spec.stages.*.min.audited", "spec.stages.*.min.units",
            "spec.stages.*.min.age", "spec.stages.*.onDeadline", "spec.stages.*.otherwise",
            "spec.stages.*.dwell", "spec.stages.*.probation", "spec.stages.*.keepWarm",
            "spec.stages.*.count", "spec.stages.*.notAuthor",
        ),
        Direction.LIMIT: ("spec.audits.dailyBudget",),
        Direction.LOST: ("spec.slices", "spec.guardrails", "spec.freeze", "spec.stages.*.require"),
        Direction.GAINED: ("spec.stages.*.where.in", "spec.stages.*.from"),
        Direction.STEPS: ("spec.stages.*.weights",),
        Direction.CHANGED: (
            "spec.metrics.*.from", "spec.metrics.*.of", "spec.metrics.*.stat",
            "spec.metrics.*.better", "spec.metrics.*.exposure", "spec.metrics.*.matures",
            "spec.metrics.*.missing", "spec.metrics.*.observed", "spec.metrics.*.cap",
            "spec.metrics.*.paired",
            "spec.judge.alpha",  # smaller: harm is proven later; larger: safe is said sooner
            "spec.suite.mustPass", "spec.harmBudget.metric", "spec.stages.*.where.tag",
            "spec.stages.*.goal",
        ),
        Direction.NEVER: ("metadata.owner", "metadata.description", "spec.judge.plannedUnits"),
    }
)  # fmt: skip
"""Which change of which field loosens. Metrics go by name here, stages by kind."""

FIXED = (
    "apiVersion", "kind", "metadata.name", "spec.model", "spec.route", "spec.champion",
    "spec.challengers", "spec.assignment",
)  # fmt: skip
"""What no edit changes: its evidence is about these."""

_ORDERED = {"none": 0, "lineage": 1, "full": 2, "pause": 0, "rollback": 1}
_BY_PATTERN = {
    tuple(pattern.split(".")): way for way, patterns in DIRECTIONS.items() for pattern in patterns
}
_FIXED = {tuple(field.split(".")) for field in FIXED}
_PROBATIONS_END = ("spec", "stages", "full", "deadline")
_Place = tuple[str, ...]


def changes(before: Rollout, after: Rollout) -> tuple[Change, ...]:
    """Every value in which `after` differs from `before`, in the order of the file.

    Raises InputError for what no edit may change: it is another rollout then.
    """
    old, new = _leaves(before), _leaves(after)
    guards, stages = _guarding(before), {each[0] for each in _stages(before)}
    is_further = _reach(after) > _reach(before)
    found = []
    for place in [*old, *(place for place in new if place not in old)]:
        was, now, field = old.get(place), new.get(place), ".".join(place)
        if was == now:
            continue
        if any(place[:k] in _FIXED for k in (1, 2)):
            raise InputError(
                f"{field} of a rollout never changes",
                field=field,
                rule="fixed",
                why="its evidence is about these versions, this model and this unit",
                fix="end this rollout and make another one",
            )
        loosens = _LOOSENS[direction(place)](was, now)
        if place[:2] == ("spec", "metrics"):
            loosens = loosens and place[2] in guards
        elif place[:2] == ("spec", "stages") and place[2] not in stages:
            loosens = is_further  # a stage more is a test more, unless it takes new traffic
        elif place == _PROBATIONS_END:
            loosens = loosens or was is None  # it had one, which hung on another field
        found.append(Change(field, was, now, loosens))
    return tuple(found)


def loosening(found: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes that need a second person."""
    return tuple(change for change in found if change.loosens)


def direction(place: tuple[str, ...]) -> Direction:
    """Which way of changing the value at `place` loosens; any, where the table does not say."""
    wild = (*place[:2], "*", *place[3:])
    return _BY_PATTERN.get(place) or _BY_PATTERN.get(wild, Direction.CHANGED)


def _more(was: Any, now: Any) -> bool:
    return was is not None and (now is None or _rank(now) > _rank(was))


def _less(was: Any, now: Any) -> bool:
    return was is not None and (now is None or _rank(now) < _rank(was))


def _bolder(was: Any, now: Any) -> bool:
    """Whether a step is larger than the one in its place, or the last ones are left out."""
    if was is None or now is None:
        return was is not None
    steps = (*was, *[was[-1]] * len(now))
    return len(now) < len(was) or any(new > old for new, old in zip(now, steps, strict=False))


_LOOSENS: Mapping[Direction, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        Direction.MORE: _more,
        Direction.LESS: _less,
        Direction.LIMIT: lambda was, now: now is not None and (was is None or now < was),
        Direction.LOST: lambda was, now: bool(_elements(was) - _elements(now)),
        Direction.GAINED: lambda was, now: now is None or bool(_elements(now) - _elements(was)),
        Direction.STEPS: _bolder,
        Direction.CHANGED: lambda _was, _now: True,
        Direction.NEVER: lambda _was, _now: False,
    }
)


def _elements(value: Any) -> set[Any]:
    return set(value) if isinstance(value, tuple) else set() if value is None else {value}


def _rank(value: Any) -> float:
    """What orders a value: milliseconds, a place in a closed set, or the number itself."""
    if isinstance(value, bool | int | float):
        return float(value)
    return float(_ORDERED[value]) if value in _ORDERED else float(duration_ms(value))


def _guarding(rollout: Rollout) -> frozenset[str]:
    """Metrics on which anything depends: guardrails, what stages require, goals, the budget."""
    spec = rollout.spec
    found = set(spec.guardrails)
    for _, stage in _stages(rollout):
        found |= _elements(getattr(stage, "require", None)) | {getattr(stage, "goal", "")}
    return frozenset(found | ({spec.harm_budget.metric} if spec.harm_budget else set()))


def _reach(rollout: Rollout) -> float:
    """Per cent of the units that a challenger may come to at most."""
    found = [0.0]
    for kind, stage in _stages(rollout):
        weights = getattr(stage, "weights", ())
        found += [100.0 if kind == "full" else getattr(stage, "weight", 0.0), *weights]
    return max(found)


def _stages(rollout: Rollout) -> list[tuple[str, Any]]:
    return [given for stage in rollout.spec.stages for given in stage.given()]


def _leaves(rollout: Rollout) -> dict[_Place, Any]:
    """Each value by its place, with metrics by name, stages by kind, and defaults resolved."""
    plain = msgspec.to_builtins(rollout)
    spec = plain["spec"]
    spec["metrics"] = {metric.pop("name"): metric for metric in spec["metrics"]}
    stages: dict[str, Any] = {}
    for kind, stage in _stages(rollout):
        stages[kind] = fields = msgspec.to_builtins(stage)
        if fields.get("require") == "guardrails":
            fields["require"] = rollout.spec.guardrails
        if "onDeadline" in fields:
            fields["onDeadline"] = fields["onDeadline"] or rollout.spec.on_deadline
    spec["stages"] = stages
    return dict(_flat(plain, ()))


def _flat(value: Any, place: _Place) -> Iterator[tuple[_Place, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, (*place, key))
    elif isinstance(value, list | tuple):
        yield place, tuple(_frozen(part) for part in value)
    elif value is not None:
        yield place, value


def _frozen(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict) else value
