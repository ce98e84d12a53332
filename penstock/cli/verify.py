"""`penstock verify`: whether an exported file is what was decided and seen."""

from pathlib import Path

import click

from penstock.cli.base import Command, output


@click.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
def verify(file: Path) -> None:
    """Recompute FILE's chain, looks and verdicts; it needs no database and no installation."""
    from penstock.registering import content
    from rollout.verifying import verified

    output().item(verified(content(file)))
