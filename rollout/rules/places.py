"""The stages of a spec as they stand in its file, for what reads them there."""

from typing import Any

from rollout.rules.faults import at
from rollout.spec import Spec
from streams.yamls import Path


def placed(spec: Spec) -> list[tuple[Path, str, Any]]:
    """(place, kind, stage) of each stage that is exactly one."""
    found = [(k, stage.given()) for k, stage in enumerate(spec.stages)]
    return [(at("stages", k, given[0][0]), *given[0]) for k, given in found if len(given) == 1]


def required(spec: Spec, kind: str, stage: Any) -> tuple[str, ...]:
    """Names of the metrics that must be safe before a stage is left."""
    if kind == "ab":
        return (stage.goal,)
    wanted = getattr(stage, "require", ())
    return spec.guardrails if wanted == "guardrails" else tuple(wanted)


def weights(spec: Spec) -> list[tuple[Path, float]]:
    """(place, per cent of each challenger) of every step, in the order of the stages."""
    found: list[tuple[Path, float]] = []
    for path, kind, stage in placed(spec):
        if kind == "canary":
            found += [((*path, "weights", k), w) for k, w in enumerate(stage.weights)]
        elif kind in ("supervised", "ab"):
            found.append(((*path, "weight"), stage.weight))
    return found


def deciding(spec: Spec, name: str) -> tuple[str, float]:
    """(stage, per cent) where metric `name` decides first: as required, else as a guardrail."""
    stages = [(kind, stage, _weight(kind, stage)) for _, kind, stage in placed(spec)]
    for kind, stage, weight in stages:
        if name in required(spec, kind, stage):
            return kind, weight
    return next(((kind, weight) for kind, _, weight in stages if weight), ("shadow", 0.0))


def _weight(kind: str, stage: Any) -> float:
    if kind == "canary":
        return float(stage.weights[-1])
    return float(getattr(stage, "weight", 0.0))
