"""`penstock version`."""

import click

from penstock.cli.base import Command, output


@click.command(cls=Command)
def version() -> None:
    """Print the version of Penstock, Python and SQLite."""
    from penstock import installed

    output().item(installed.versions())
