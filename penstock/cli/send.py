"""`penstock send`: events from JSON Lines to a server."""

import click

from penstock.cli.base import Command, output


def _own() -> str:
    """This machine's own installation, as its settings name it."""
    from penstock.cli.settings import settings

    return settings().url


SERVER = click.option(
    "--server", default=_own, envvar="PENSTOCK_SERVER", show_default="this machine's own",
    help="Where Penstock runs; PENSTOCK_SERVER.",
)  # fmt: skip
KEY = click.option("--key", envvar="PENSTOCK_KEY", help="API key; better in PENSTOCK_KEY.")


@click.command(cls=Command)
@click.argument("file", type=click.Path(allow_dash=True))
@SERVER
@KEY
@click.option(
    "--from-line", default=1, type=click.IntRange(1), help="Leave out the lines before this one."
)
def send(file: str, server: str, key: str | None, from_line: int) -> int:
    """Send events from FILE (JSON Lines, plain or .gz) or - for stdin.

    Sending the same again is safe. Exit code 1 when a line was refused.
    """
    from penstock.cli import transfers

    return transfers.send_file(output(), file, server=server, key=key, from_line=from_line)
