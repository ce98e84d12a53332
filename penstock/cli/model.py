"""`penstock model`: declarations and versions."""

import getpass
from pathlib import Path

import click

from penstock.cli.base import Command, Group, output


@click.group(cls=Group)
def model() -> None:
    """Models: what their owners declared, and what events have named."""


@model.command(cls=Command)
@click.option("-f", "--file", type=click.Path(path_type=Path), required=True, help="YAML or JSON.")
def register(file: Path) -> None:
    """Declare a model; declaring the same again changes nothing."""
    from penstock import registering
    from penstock.cli.settings import installation

    with installation() as here:
        revision = registering.register(here, file, by=_by())
    output().item(revision)


@model.command("list", cls=Command)
def list_models() -> None:
    """List declared and observed models."""
    from penstock import registering
    from penstock.cli.settings import installation

    with installation() as here:
        found = registering.summaries(here)
    output().rows(found, ["model", "task", "owner", "revisions", "versions"])


@model.command(cls=Command)
@click.argument("name")
def show(name: str) -> None:
    """Show a model's declaration and its versions."""
    from penstock import registering
    from penstock.cli.settings import installation

    with installation() as here:
        output().item(registering.show(here, name))


@model.command("add-version", cls=Command)
@click.argument("name")
@click.argument("label")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--digest", help="sha256 of a version whose files stay elsewhere.")
@click.option("--description", default="", help="What is new in it.")
def add_version(
    name: str, label: str, files: tuple[Path, ...], digest: str | None, description: str
) -> None:
    """Register version LABEL of model NAME, with its FILES."""
    from penstock import registering
    from penstock.cli.settings import installation

    with installation() as here:
        added = registering.add_version(
            here, name, label, files, digest=digest, description=description, by=_by()
        )
    output().item(added)


def _by() -> str:
    return f"cli:{getpass.getuser()}"
