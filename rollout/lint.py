"""Everything a spec contradicts before it runs: itself, its model, its versions, its evidence.

A report is data. It also says which form of evidence each metric becomes and what its margin
costs, so that nobody learns either from a rollout that waits.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from evidence.decision import split_alpha
from evidence.domain import InputError as EvidenceError
from rollout.needs import guardrail_of
from rollout.readings import Reading, readings
from rollout.rules import gates, metrics, stages, terms
from rollout.rules import model as model_rules
from rollout.rules.faults import Fault, Finding, numbered
from rollout.spec import Metric, Rollout, Spec, digest, read
from streams.errors import InputError
from streams.models import Declaration
from streams.versions import Version
from streams.yamls import line_of, spelled

RULES = (*metrics.RULES, *stages.RULES, *terms.RULES)


class Levels(Struct, frozen=True, kw_only=True):
    """How the rollout spends its alpha: per metric for safe, per guardrail and slice for harm."""

    alpha: float
    safe: float
    harm: float
    guardrails: int
    protected: int
    paths: int


class Report(Struct, frozen=True, kw_only=True):
    """What lint says. Without errors there is a digest, and what each metric becomes."""

    file: str
    ok: bool
    rollout: str = ""
    digest: str | None = None
    findings: tuple[Finding, ...] = ()
    levels: Levels | None = None
    metrics: tuple[Reading, ...] = ()
    notes: tuple[str, ...] = ()


def lint(
    text: bytes,
    *,
    name: str = "file",
    model: Declaration | None = None,
    versions: Sequence[Version] | None = None,
) -> Report:
    """The report on a spec in YAML or JSON, against `model` and `versions` when they are given."""
    try:
        rollout, places = read(text, name=name)
    except InputError as error:
        return Report(file=name, ok=False, findings=(_undecoded(error, name),))
    found = [
        Finding(
            level="error" if fault.is_error else "warning",
            line=line_of(fault.path, places),
            field=spelled(fault.path),
            reason=fault.reason,
            fix=fault.fix,
        )
        for fault in faults(rollout, model=model, versions=versions)
    ]
    found.sort(key=lambda each: (each.level, each.line or 0))
    ok = all(each.level != "error" for each in found)
    spec = rollout.spec
    return Report(
        file=name,
        ok=ok,
        rollout=rollout.metadata.name,
        digest=digest(rollout) if ok else None,
        findings=tuple(found),
        levels=_levels(spec, model) if ok else None,
        metrics=readings(spec) if ok else (),
        notes=tuple(_notes(spec, model, versions)),
    )


def faults(
    rollout: Rollout,
    *,
    model: Declaration | None = None,
    versions: Sequence[Version] | None = None,
) -> Iterator[Fault]:
    """Everything `rollout` contradicts.

    What guardrails and gates can prove is asked only of metrics that have no error of their own.
    """
    spec = rollout.spec
    found = [fault for rule in RULES for fault in rule(spec)]
    sound: dict[str, Metric] = {}
    for path, metric in numbered(spec):
        if any(fault.is_error and fault.path[: len(path)] == path for fault in found):
            continue
        try:
            guardrail_of(spec, metric)
            sound[metric.name] = metric
        except EvidenceError as error:
            found.append(Fault(path, f"cannot be tested: {error}"))
    yield from found
    for rule in gates.RULES:
        yield from rule(spec, sound)
    if model is not None:
        yield from model_rules.against_model(spec, model)
    if versions is not None:
        yield from model_rules.against_versions(spec, versions)


def _undecoded(error: InputError, name: str) -> Finding:
    """The first thing that is no spec at all; nothing behind it was read."""
    place = name if error.line is None else f"{name}, line {error.line}"
    reason = error.message.removeprefix(f"{place}: ").removeprefix(f"{error.field}: ")
    return Finding(level="error", line=error.line, field=error.field, reason=reason, fix=error.fix)


def _levels(spec: Spec, model: Declaration | None) -> Levels:
    protected = {part.name for part in model.slices if part.protected} if model else set()
    watched = len(protected & set(spec.slices))
    paths = 2 if any(spec.by_name[name].crash for name in spec.guardrails) else 1
    found = split_alpha(
        guardrails=len(spec.guardrails),
        alpha=spec.judge.alpha,
        protected=watched,
        paths=paths,
        challengers=len(spec.challengers),
    )
    return Levels(
        alpha=spec.judge.alpha, safe=found.safe, harm=found.harm,
        guardrails=len(spec.guardrails), protected=watched, paths=paths,
    )  # fmt: skip


def _notes(
    spec: Spec, model: Declaration | None, versions: Sequence[Version] | None
) -> Iterator[str]:
    if model is None:
        yield "not held against a declaration: classes, costs, horizons and slices are as they are"
    if versions is None:
        yield "versions were not looked up"
    if spec.suite is None:
        yield "suite: not applicable, no regression cases must pass"
