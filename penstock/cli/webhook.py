"""`penstock webhook`: who is told of decisions by HTTP."""

import getpass

import click

from penstock.cli.base import Command, Group, output

_ID = click.argument("id")


@click.group(cls=Group)
def webhook() -> None:
    """Webhooks: every decision, signed, to the addresses that asked for it."""


@webhook.command(cls=Command)
@click.argument("url")
@click.option("--model", "models", multiple=True, default=("*",), show_default=True)
@click.option("--description", default="", help="What it is for.")
def create(url: str, models: tuple[str, ...], description: str) -> None:
    """Tell URL of every decision from now on. The secret that signs is shown once."""
    from penstock.cli.settings import installation
    from penstock.webhooks import keeping

    with installation() as here:
        made = keeping.create(
            here.engine, keeping.fetcher(here.settings), url=url, models=models,
            description=description, by=f"cli:{getpass.getuser()}",
        )  # fmt: skip
    output().item(made)
    output().say("give the secret to the receiver now: it cannot be shown again")
    output().say(f"then: penstock webhook test {made.id}")


@webhook.command("list", cls=Command)
def list_webhooks() -> None:
    """List every webhook ever made, without the secrets."""
    from penstock.cli.settings import installation
    from penstock.webhooks import keeping

    with installation() as here:
        found = keeping.listed(here.engine)
    output().rows(found, ["id", "state", "waiting", "models", "took_ms", "failure", "url"])


@webhook.command(cls=Command)
@_ID
def test(id: str) -> int:
    """Send a test now, and show what the receiver makes of it."""
    from penstock.cli.settings import installation
    from penstock.webhooks import keeping

    with installation() as here:
        tried = keeping.test(here.engine, keeping.fetcher(here.settings), id)
    output().item(tried)
    return 0 if tried.taken else 1


@webhook.command(cls=Command)
@_ID
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def deliveries(id: str, limit: int) -> None:
    """List what a webhook was told and is to be, the newest first."""
    from penstock.cli.settings import installation
    from penstock.webhooks import keeping

    with installation() as here:
        found = keeping.told(here.engine, id, limit=limit)
    output().rows(found, ["event", "state", "attempts", "status", "tried_ms", "due_ms", "said"])


@webhook.command(cls=Command)
@_ID
@click.argument("events", nargs=-1, metavar="[EVENT]...")
def resend(id: str, events: tuple[str, ...]) -> None:
    """Send these again, or all that were given up."""
    from penstock.cli.settings import installation
    from penstock.webhooks import keeping

    with installation() as here:
        renewed = keeping.resend(here.engine, id, events=events)
    output().item(renewed)


@webhook.command(cls=Command)
@_ID
def rotate(id: str) -> None:
    """Sign with a new secret, and for a day with the one before too."""
    from penstock.cli.settings import installation
    from penstock.webhooks import keeping

    output().agree(f"Give webhook {id} a new secret?")
    with installation() as here:
        made = keeping.rotate(here.engine, id)
    output().item(made)
    output().say("give the secret to the receiver within 24 hours: it cannot be shown again")


@webhook.command(cls=Command)
@_ID
def revoke(id: str) -> None:
    """End a webhook: it is told of nothing any more."""
    from penstock.cli.settings import installation
    from penstock.webhooks import keeping

    output().agree(f"End webhook {id}?")
    with installation() as here:
        ended = keeping.revoke(here.engine, id)
    output().item({"id": ended.id, "state": ended.state})
