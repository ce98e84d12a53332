"""`penstock rollout list|get|explain|wait|log|export`: what there is to see of a rollout."""

from pathlib import Path

import click

from penstock.cli.base import Command, output
from penstock.cli.rollout import opened, show

_NAME = click.argument("name")


@click.command(cls=Command)
def list_rollouts() -> None:
    """List every rollout and where it stands, the newest first."""
    from penstock import rollouts

    with opened() as here:
        found = rollouts.listed(here)
    output().rows(found, ["rollout", "model", "route", "stage", "changed_ms"])


@click.command(cls=Command)
@_NAME
@click.option("-w", "--watch", is_flag=True, help="Go on until it has ended; Ctrl-C ends it.")
def get(name: str, watch: bool) -> None:
    """Show where a rollout stands, its metrics, and what is ahead of it."""
    from penstock.cli import rollout_watching

    with opened() as here:
        if watch:
            rollout_watching.watch(output(), here, name)
        else:
            show(here, name)


@click.command(cls=Command)
@_NAME
@click.option(
    "--for", "goal", required=True, metavar="GOAL",
    help="promoted (it has full weight), safe (nothing speaks against the next step), or a stage.",
)  # fmt: skip
@click.option("--timeout", default="2h", show_default=True, help="How long at most: 90s, 10m, 2h.")
def wait(name: str, goal: str, timeout: str) -> int:
    """Wait for a rollout: exit code 0 when it is so, 3 when not or not in time, 6 rolled back."""
    from penstock import awaiting
    from penstock.cli.main import ROLLED_BACK
    from streams.models import duration_ms

    with opened() as here:
        met = awaiting.until(here, name, goal, timeout_s=duration_ms(timeout) / 1000)
        show(here, name)
    return 0 if met else ROLLED_BACK


@click.command(cls=Command)
@_NAME
def explain(name: str) -> None:
    """Say what a rollout waits for and why, and when it may be known."""
    from penstock import explaining

    with opened() as here:
        found = explaining.explained(here, name)
    if output().format == "table":
        output().stream(explaining.words(found), str)
    else:
        output().item(found)


@click.command(cls=Command)
@_NAME
def log(name: str) -> None:
    """List the decisions about a rollout, oldest first, each with its cause."""
    from penstock.rollout_views import lines

    with opened() as here:
        found = lines(here.standing(name))
    output().rows(found, ["seq", "at_ms", "signal", "before", "after", "who", "because"])


@click.command(cls=Command)
@_NAME
@click.argument("file", type=click.Path(path_type=Path))
def export(name: str, file: Path) -> None:
    """Write specs, decisions and their looks to FILE, which `penstock verify` reads anywhere."""
    from penstock import exporting

    with opened() as here:
        found = exporting.export(here, name, file)
    output().item(found)
