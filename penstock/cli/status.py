"""`penstock status`: every role of an installation at a glance."""

import click

from penstock.cli.base import Command, output

LISTS = {
    "processes": [
        "role", "name", "state", "held", "lag_records", "last_step_ms", "seen_ms", "detail",
    ],
    "duties": ["duty", "runs", "failures", "last_ms", "fault"],
    "problems": ["problem", "next"],
}  # fmt: skip


@click.command(cls=Command)
def status() -> int:
    """Show roles, log, database and backlog; exit code 3 when something is not well."""
    from penstock import overview
    from penstock.cli.settings import settings

    found = overview.look(settings())
    output().parts(found, LISTS)
    return 3 if found.problems else 0
