"""`penstock worker`, `control` and `web`: one role of an installation as a process of its own."""

import click

from penstock.cli.base import Command, output


@click.command(cls=Command)
def worker() -> int:
    """Count events: one of any number of workers that share Kafka's partitions."""
    return _play("worker", "intake")


@click.command(cls=Command)
def control() -> int:
    """Relay messages, close what is due, expire what is old; the others wait while one works."""
    return _play("control", "control")


@click.command(cls=Command)
def web() -> int:
    """Serve pages and ingest."""
    return _play("web", "web")


def _play(name: str, role: str) -> int:
    from penstock.cli.settings import settings
    from penstock.ops.logging import is_json
    from penstock.starting import play
    from penstock.wiring import PLAYED

    here = settings()
    if is_json(here):
        output().format = "json"  # its last words too, if they are an error
    return play(here, name, PLAYED[role])
