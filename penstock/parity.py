"""`penstock model parity`: the check is run, kept beside the version, and told."""

from collections.abc import Iterator

import msgspec

from penstock.installation import Installation
from rollout import parity_runs
from rollout.parity import Report
from streams import registry, versions
from streams.db.engine import reading, writing


def check(here: Installation, model: str, label: str, *, rows: int, seed: int, by: str) -> Report:
    """The report, which from now on says whether the version's forms agree."""
    with reading(here.engine) as connection:
        declared, _ = registry.show(connection, model)
        version = versions.one(connection, model, label)
    report = parity_runs.check(
        here.settings.files_dir, version, declared, random_rows=rows, seed=seed
    )
    with writing(here.engine) as connection:
        versions.add_report(
            connection, version, kind=versions.PARITY, passed=report.passed,
            body=msgspec.json.encode(report), now_ms=here.now_ms(), by=by,
        )  # fmt: skip
    return report


def words(report: Report) -> Iterator[str]:
    """The report in lines, for a reader."""
    for each in report.comparisons:
        yield (
            f"{_mark(each.passed)}  {each.before} and {each.after}, output {each.output}: max"
            f" {each.max_abs:.3g}, p99 {each.p99_abs:.3g}, at most {each.tolerance:g}"
        )
    for made in report.decisions:
        bar = "likeliest class" if made.threshold is None else f"threshold {made.threshold:g}"
        yield (
            f"{_mark(made.passed)}  {made.before} and {made.after}, {made.scenario} ({bar}):"
            f" {made.differ} of {made.rows} rows decided otherwise, at most {made.allowed}"
        )
    yield f"{_mark(report.dynamic_batch)}  dynamic batch"
    for timing in report.timings:
        yield (
            f"      {timing.form} batch {timing.batch:>3}: model p50 {timing.model_p50_ms:.3f} p99"
            f" {timing.model_p99_ms:.3f} ms, with transfer p50 {timing.total_p50_ms:.3f} p99"
            f" {timing.total_p99_ms:.3f} ms, {timing.rows_per_s:,.0f} rows/s"
        )
    yield from (f"fault {fault}" for fault in report.faults)
    yield from (f"note  {note}" for note in report.notes)
    verdict = "passed" if report.passed else "did not pass"
    yield (
        f"{report.model} {report.version} {verdict}: {report.rows} rows"
        f" ({report.random_rows} random, seed {report.seed}), against {report.source or 'nothing'}"
    )


def _mark(passed: bool) -> str:
    return "ok   " if passed else "FAIL "
