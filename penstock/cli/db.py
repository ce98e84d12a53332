"""`penstock db`: the schema, and what an installation needs besides."""

import click

from penstock.cli.base import Command, Group, output


@click.group(cls=Group)
def db() -> None:
    """The database and its schema."""


@db.command(cls=Command)
def upgrade() -> None:
    """Bring the schema to this release; make log, secret and topics if they are missing."""
    from penstock import installation
    from penstock.cli.settings import settings

    here = settings()
    installation.prepare(here)
    output().item(installation.schema(here))


@db.command(cls=Command)
def status() -> int:
    """Print schema, database and the ledger's days; exit code 3 when an upgrade is due."""
    from penstock import database
    from penstock.cli.settings import settings

    found = database.look(settings())
    output().parts(found, {"days": ["date", "bytes", "rows"]})
    return 3 if found.pending else 0
