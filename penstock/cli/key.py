"""`penstock key`: who may send or ask what."""

import click

from penstock.cli.base import Command, Group, output


@click.group(cls=Group)
def key() -> None:
    """API keys. From the first one on, every request needs one."""


@key.command(cls=Command)
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, default=("events:write",), show_default=True)
@click.option("--model", "models", multiple=True, default=("*",), show_default=True)
@click.option("--expires", help="How long it lives, for example 90d; for ever unless given.")
def create(
    name: str, scopes: tuple[str, ...], models: tuple[str, ...], expires: str | None
) -> None:
    """Make a key. Its token is shown once."""
    from penstock import keeping
    from penstock.cli.settings import installation

    with installation() as here:
        made = keeping.create(here, name=name, scopes=scopes, models=models, expires=expires)
    output().item(made)
    output().say("keep the token now: it cannot be shown again")


@key.command("list", cls=Command)
def list_keys() -> None:
    """List every key ever made, without the tokens."""
    from penstock import keeping
    from penstock.cli.settings import installation

    with installation() as here:
        found = keeping.listed(here)
    output().rows(found, ["id", "name", "state", "scopes", "models", "expires_ms", "last_used_ms"])


@key.command(cls=Command)
@click.argument("id")
def revoke(id: str) -> None:
    """End a key: it opens nothing from the next second on."""
    from penstock import keeping
    from penstock.cli.settings import installation

    output().agree(f"Revoke key {id}?")
    with installation() as here:
        keeping.revoke(here, id)
    output().item({"id": id, "state": "revoked"})
