"""`penstock worker`, `control` and `web`: one role of an installation as a process of its own."""

import dataclasses

import click

from penstock.cli.base import Command, output
from penstock.settings import ENGINES


@click.command(cls=Command)
@click.option("--engine", type=click.Choice(ENGINES), help="What reads Kafka; PENSTOCK_ENGINE.")
def worker(engine: str | None) -> int:
    """Count events: one of any number of workers that share Kafka's partitions."""
    return _play("worker", "intake", engine)


@click.command(cls=Command)
def control() -> int:
    """Relay messages, close what is due, expire what is old; the others wait while one works."""
    return _play("control", "control")


@click.command(cls=Command)
def web() -> int:
    """Serve pages and ingest."""
    return _play("web", "web")


@click.command(cls=Command)
@click.option(
    "--candidate", "named", multiple=True, metavar="MODEL=VERSION",
    help="Run this one too; the challengers of live rollouts are run without being named.",
)  # fmt: skip
def shadow(named: tuple[str, ...]) -> int:
    """Let candidates answer beside the live version, from their ONNX files."""
    from functools import partial

    from penstock import wiring
    from penstock.cli.settings import settings
    from penstock.ops.logging import is_json
    from penstock.ops.shadow import pair
    from penstock.starting import play

    here = settings()
    if is_json(here):
        output().format = "json"
    role = partial(wiring.shadow, named=tuple(map(pair, named)))
    return play(here, "shadow", role, anywhere=True)


def _play(name: str, role: str, engine: str | None = None) -> int:
    from penstock.cli.settings import settings
    from penstock.ops.logging import is_json
    from penstock.starting import play
    from penstock.wiring import PLAYED

    here = settings()
    if engine is not None:
        here = dataclasses.replace(here, engine=engine)
    if is_json(here):
        output().format = "json"  # its last words too, if they are an error
    return play(here, name, PLAYED[role])
