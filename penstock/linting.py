"""Linting a spec from a file, against what this installation knows of its model."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from penstock.installation import require_head, require_log
from penstock.registering import content
from penstock.settings import Settings
from rollout.lint import Report
from rollout.lint import lint as lint_text
from rollout.readings import Reading
from rollout.spec import read
from streams import registry
from streams.db.engine import connect, reading
from streams.errors import ConfigError, InputError
from streams.models import Declaration, observed
from streams.versions import Version


def lint(settings: Settings, path: Path, *, model: Path | None) -> Report:
    """The report on the spec in `path`.

    It is held against the declaration in `model`; without one against the model and versions that
    are registered here, and where there is no installation against itself alone.
    """
    text = content(path)
    if model is not None:
        declared = registry.read_declaration(content(model), name=model.name)
        return lint_text(text, name=path.name, model=declared)
    known = _registered(settings, text, path.name)
    if known is None:
        return lint_text(text, name=path.name)
    return lint_text(text, name=path.name, model=known[0], versions=known[1])


def _registered(
    settings: Settings, text: bytes, name: str
) -> tuple[Declaration, Sequence[Version]] | None:
    """The spec's model as it stands here; None without an installation, or without a spec."""
    try:
        wanted = read(text, name=name)[0].spec.model
        require_log(settings)
        require_head(settings)
    except (ConfigError, InputError):
        return None
    engine = connect(settings.database)
    try:
        with reading(engine) as connection:
            return registry.show(connection, wanted)
    except InputError:
        return observed(wanted), ()
    finally:
        engine.dispose()


def words(report: Report) -> Iterator[str]:
    """The report in lines, for a reader."""
    for each in report.findings:
        place = report.file if each.line is None else f"{report.file}:{each.line}"
        yield f"{place}: {each.level}: {each.field}: {each.reason}"
        if each.fix:
            yield f"    next:  {each.fix}"
    width = max((len(each.metric) for each in report.metrics), default=0)
    for metric in report.metrics:
        for head, line in zip_longest((metric.metric,), _metric_words(metric), fillvalue=""):
            yield f"{head:<{width}}  {line}"
    yield from _summary(report)


def _metric_words(metric: Reading) -> Iterator[str]:
    yield f"{metric.counts}: {metric.limit}"
    claim = "" if metric.exact else ", not exact"
    yield f"{metric.form}{claim}; {metric.decides}"
    if metric.units is not None and metric.ninety is not None:
        unit = "pairs" if metric.form.startswith("paired") or metric.at == "shadow" else "units"
        labels = f", {metric.labels:,} labels" if metric.labels else ""
        yield (
            f"at {metric.at}: about {metric.units:,} {unit}{labels} until an equal version is"
            f" called safe, 9 of 10 runs within {metric.ninety:,} (if {metric.assuming})"
        )


def _summary(report: Report) -> Iterator[str]:
    """What the rollout may claim, what was not looked at, and the count."""
    if report.levels is not None:
        levels = report.levels
        yield (
            "If every guardrail stays within its margin, the chance that harm is ever declared is"
            f" at most {levels.alpha:g}:"
        )
        yield (
            f"  {levels.harm:.3g} for each of {levels.guardrails} guardrails"
            f" x (1 + {levels.protected} protected slices) x {levels.paths} paths."
        )
        yield (
            "If a required metric is at or beyond its margin throughout, the chance that it is ever"
            f" called safe is at most {levels.safe:g}."
        )
    yield from (f"note: {note}" for note in report.notes)
    errors = sum(each.level == "error" for each in report.findings)
    counted = f"errors: {errors}, warnings: {len(report.findings) - errors}"
    yield f"{report.file}: {counted}" + (f", {report.digest}" if report.digest else "")
