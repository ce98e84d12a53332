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
@click.option("-f", "--file", "bundle", type=click.Path(path_type=Path), help="What it brings.")
@click.option("--digest", help="sha256 of a version whose files stay elsewhere.")
@click.option("--description", default="", help="What is new in it.")
def add_version(
    name: str,
    label: str,
    files: tuple[Path, ...],
    bundle: Path | None,
    digest: str | None,
    description: str,
) -> None:
    """Register version LABEL of model NAME, with its FILES."""
    from penstock import registering
    from penstock.cli.settings import installation

    with installation() as here:
        added = registering.add_version(
            here, name, label, files, bundle=bundle, digest=digest, description=description,
            by=_by(),
        )  # fmt: skip
    output().item(added)


@model.command(cls=Command)
@click.argument("name")
def versions(name: str) -> None:
    """List a model's versions, what each attests, and what it lacks for more."""
    from penstock import versioning
    from penstock.cli.settings import installation

    with installation() as here:
        found = versioning.listed(here.engine, name)
    output().rows(found, ["label", "attestation", "lacks", "parity", "digest", "created_ms"])


@model.command(cls=Command)
@click.argument("name")
@click.argument("before")
@click.argument("after")
def diff(name: str, before: str, after: str) -> None:
    """Show in what version AFTER of model NAME differs from version BEFORE."""
    from penstock import versioning
    from penstock.cli.settings import installation

    with installation() as here:
        found = versioning.difference(here.engine, name, before, after)
    output().rows(found, ["field", "before", "after"])


@model.command(cls=Command)
@click.argument("name")
@click.argument("pairs", nargs=-1, metavar="[SCENARIO=SHARE]...")
def threshold(name: str, pairs: tuple[str, ...]) -> None:
    """Show the thresholds of a model's decisions, or set some of them."""
    from penstock import versioning
    from penstock.cli.settings import installation

    with installation() as here:
        found = versioning.thresholds(here, name, pairs, by=_by())
    output().rows(found, ["scenario", "threshold"])


@model.command(cls=Command)
@click.argument("name")
@click.argument("label")
@click.option("--rows", type=click.IntRange(1, 100_000), default=256, help="Random rows.")
@click.option("--seed", type=int, default=0, help="Of the random rows.")
def parity(name: str, label: str, rows: int, seed: int) -> int:
    """Check that a version's source, ONNX file and quantised file answer alike."""
    from penstock import parity
    from penstock.cli.settings import installation

    with installation() as here:
        report = parity.check(here, name, label, rows=rows, seed=seed, by=_by())
    if output().format == "table":
        output().stream(parity.words(report), str)
    else:
        output().item(report)
    return 0 if report.passed else 1


@model.command(cls=Command)
@click.argument("name")
@click.option("--from", "url", default="", help="The MLflow server; else PENSTOCK_MLFLOW_URL.")
@click.option("--as", "name_there", default="", help="What the model is called there.")
@click.option("--alias", default="champion", show_default=True, help="Set to who has the route.")
@click.option("--route", default="default", show_default=True, help="The decision point.")
def sync(name: str, url: str, name_there: str, alias: str, route: str) -> int:
    """Register the versions of an MLflow model, and set its alias to the champion."""
    from penstock import syncing
    from penstock.cli.settings import installation
    from penstock.mlflow import Mlflow, require_address

    with installation() as here:
        own = here.settings
        address = require_address(url or own.mlflow_url)
        with Mlflow(address, token=own.mlflow_token) as mlflow:
            found = syncing.sync(
                here, mlflow, name, name=name_there or name, alias=alias, route=route, by=_by()
            )
    output().rows(found.versions, ["version", "state", "attestation", "digest"])
    if found.champion is not None:
        output().say(f"the alias {found.alias} stands for version {found.champion}")
    return 1 if any(each.state.startswith("conflict") for each in found.versions) else 0


def _by() -> str:
    return f"cli:{getpass.getuser()}"
