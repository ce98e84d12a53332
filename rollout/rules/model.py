"""What a spec can contradict of its model: the declaration, and the versions that there are."""

from collections.abc import Iterator, Sequence

from rollout.metrics import loss_of
from rollout.rules.faults import Fault, at, ms, numbered, warning
from rollout.spec import Metric, Spec
from streams.bundles import PARITY_CHECK
from streams.models import Declaration
from streams.versions import RESERVED, Version
from streams.yamls import Path, nearest

_HORIZON = {"label": "outcome", "audit": "audit"}


def against_model(spec: Spec, model: Declaration) -> Iterator[Fault]:
    """Where the spec asks for what `model` does not declare."""
    if spec.model != model.model:
        yield Fault(at("model"), f"the declaration is of {model.model!r}", f"model: {model.model}")
        return
    if model.task == "observed":
        yield Fault(
            at("model"), f"nobody has declared {model.model!r}: it is counted, never judged",
            "penstock model register -f model.yaml",
        )  # fmt: skip
        return
    for path, metric in numbered(spec):
        yield from _loss(path, metric, model)
        yield from _horizon(path, metric, model)
    yield from _slices(spec, model)


def against_versions(spec: Spec, known: Sequence[Version]) -> Iterator[Fault]:
    """Where the spec names a version that is not there, or not that one."""
    labels = {version.label: version for version in known}
    refs = [(at("champion"), spec.champion)]
    refs += [(at("challengers", k), ref) for k, ref in enumerate(spec.challengers)]
    for path, ref in refs:
        found = labels.get(ref.version)
        if ref.version in RESERVED:
            continue
        if found is None:
            yield Fault(
                (*path, "version"), f"{spec.model!r} has no version {ref.version!r}",
                nearest(ref.version, labels) if labels else "penstock model add-version adds it",
            )  # fmt: skip
        elif ref.digest is not None and ref.digest != f"sha256:{found.digest}":
            stands = f"sha256:{found.digest}" if found.digest else "none: only events named it"
            yield Fault((*path, "digest"), f"version {ref.version!r} has another digest", stands)
        elif path != at("champion") and (lacks := found.lacks(spec.attestation)):
            yield Fault(
                (*path, "version"), f"attestation: {spec.attestation} asks for what version"
                f" {ref.version!r} does not bring: {', '.join(lacks)}", _way_to(found, lacks),
            )  # fmt: skip


def _way_to(version: Version, lacks: Sequence[str]) -> str:
    """What to do about it; what a version is made of is told when it is added, and for ever."""
    if lacks == [PARITY_CHECK]:
        return f"penstock model parity {version.model} {version.label}"
    if version.created_ms is None:
        return "penstock model add-version -f version.yaml"
    return "add it under a new label, with -f version.yaml"


def _loss(path: Path, metric: Metric, model: Declaration) -> Iterator[Fault]:
    loss = loss_of(metric)
    if loss in ("misses", "false_alarms") and not model.binary:
        yield Fault(
            (*path, "of"), f"{loss} are errors of a model with two classes, and {model.model!r} has"
            f" {len(model.classes) or 'none'}", "of: wrong",
        )  # fmt: skip
    elif loss == "wrong" and model.task == "regression":
        yield Fault(
            (*path, "of"), "a regression is never exactly right: wrong would be every answer",
            "from: feedback, or a ceiling on disagreement",
        )  # fmt: skip
    elif loss == "cost" and model.costs is None:
        yield Fault(
            (*path, "of"), f"{model.model!r} declares no costs",
            "add costs: {false_alarm: ..., miss: ...} to the model",
        )  # fmt: skip


def _horizon(path: Path, metric: Metric, model: Declaration) -> Iterator[Fault]:
    """A label must come while the ledger still waits for it."""
    source = _HORIZON.get(metric.source)
    if source is None or metric.matures is None:
        return
    waits = model.horizons.get(source)
    if waits is None:
        yield Fault(
            (*path, "matures"), f"{model.model!r} does not wait for {source} labels",
            f"add horizons: {{{source}: {metric.matures}}} to the model",
        )  # fmt: skip
    elif ms(metric.matures) > ms(waits):
        yield Fault(
            (*path, "matures"), f"{model.model!r} waits {waits} for {source} labels,"
            f" not {metric.matures}", f"at most {waits}, or a longer horizon in the model",
        )  # fmt: skip


def _slices(spec: Spec, model: Declaration) -> Iterator[Fault]:
    known = {part.name: part for part in model.slices}
    for k, name in enumerate(spec.slices):
        if name not in known:
            yield Fault(
                at("slices", k), f"{model.model!r} has no slice {name!r}", nearest(name, known)
            )
    for name, part in known.items():
        if part.protected and name not in spec.slices:
            yield warning(
                at("slices"), f"the protected slice {name!r} is not watched: harm to it alone would"
                " pass", f"add {name} to slices",
            )  # fmt: skip
