"""`penstock rollout lint|create|edit`: specs in files."""

from pathlib import Path

import click

from penstock.cli.base import Command, output
from penstock.cli.rollout import opened, person, reason, show

_FILE = click.argument("file", type=click.Path(path_type=Path))


@click.command(cls=Command)
@_FILE
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


@click.command(cls=Command)
@_FILE
@click.option("--reason", default="", help="Why it is done.")
def create(file: Path, reason: str) -> None:
    """Make a draft of the spec in FILE; nothing runs before `start`."""
    from penstock import rollouts
    from penstock.registering import content

    with opened() as here:
        made = rollouts.create(here, content(file), name=str(file), who=person(reason))
        show(here, made.rollout)


@click.command(cls=Command)
@_FILE
@reason
def edit(file: Path, reason: str) -> None:
    """Make the spec in FILE a revision of the rollout that it names."""
    from penstock import rollouts
    from penstock.registering import content

    with opened() as here:
        found = rollouts.edit(here, content(file), name=str(file), who=person(reason))
    output().parts(found, {"changes": ["field", "before", "after", "loosens"]})
    if not found.holds:
        output().say(
            f"it loosens what guards the rollout; a second person lets it hold:\n"
            f"  penstock rollout approve {found.rollout} --revision {found.revision}"
        )
