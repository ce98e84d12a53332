"""`penstock import`: tables of the past."""

from pathlib import Path
from typing import Any

import click

from penstock.cli.base import Command, Group, output
from penstock.cli.send import KEY, SERVER


@click.group("import", cls=Group)
def imports() -> None:
    """Import labels or predictions from CSV or Parquet (see docs/import.md)."""


def _table(command: Any) -> Any:
    """The arguments that both kinds share."""
    for option in (
        click.option(
            "--store", default="live", show_default=True,
            help="live (the server), direct (this machine's log) or scratch:FOLDER.",
        ),
        click.option("--dry-run", is_flag=True, help="Show three mapped rows and every fault."),
        KEY,
        SERVER,
        click.option(
            "--map", "map_file", required=True, type=click.Path(path_type=Path),
            help="Which column is what (YAML).",
        ),
        click.argument("file", type=click.Path(path_type=Path)),
    ):  # fmt: skip
        command = option(command)
    return command


@imports.command(cls=Command)
@_table
def labels(**given: Any) -> int:
    """Import labels from FILE; the same row twice counts once."""
    from penstock.cli import tables

    return tables.import_table(output(), "labels", **given)


@imports.command(cls=Command)
@_table
def predictions(**given: Any) -> int:
    """Import predictions from FILE; old ones with --store scratch:FOLDER."""
    from penstock.cli import tables

    return tables.import_table(output(), "predictions", **given)
