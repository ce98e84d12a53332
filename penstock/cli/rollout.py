"""`penstock rollout`: from a spec to a decision."""

from pathlib import Path

import click

from penstock.cli.base import Command, Group, output


@click.group(cls=Group)
def rollout() -> None:
    """Rollouts: from a spec to a decision, with its evidence."""


@rollout.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--model", type=click.Path(path_type=Path), help="Hold it against this declaration instead."
)
def lint(file: Path, model: Path | None) -> int:
    """Say what a spec contradicts, and what each of its metrics becomes."""
    from penstock import linting
    from penstock.cli.settings import settings

    report = linting.lint(settings(), file, model=model)
    if output().format == "table":
        output().stream(linting.words(report), str)
    else:
        output().item(report)
    return 0 if report.ok else 1
