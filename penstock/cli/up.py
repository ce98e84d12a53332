"""`penstock up`: everything on one machine, in one terminal."""

import click

from penstock.cli.base import Command, output


@click.command(cls=Command)
def up() -> int:
    """Start web, ingest, intake and control; Ctrl-C ends them."""
    from penstock import starting
    from penstock.cli.settings import settings

    return starting.up(settings(), output())
