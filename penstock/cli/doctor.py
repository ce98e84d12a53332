"""`penstock doctor`: is everything as it should be."""

import os

import click

from penstock.cli.base import Command, output


@click.command(cls=Command)
def doctor() -> int:
    """Check this installation; exit code 1 when something fails."""
    from penstock import checks

    findings = checks.run(os.environ)
    output().rows(findings, ["check", "state", "detail", "next"])
    return 1 if any(finding.state == "fail" for finding in findings) else 0
