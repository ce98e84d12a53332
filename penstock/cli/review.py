"""`penstock review`: proposed answers that wait for a person."""

import click

from penstock.cli.base import Command, Group, output
from penstock.cli.rollout import opened, person, said

_ID = click.argument("id")
_STATES = ("open", "confirmed", "refused", "timed-out", "withdrawn", "all")


@click.group(cls=Group)
def review() -> None:
    """Proposed answers of a supervised stage: the first who answers decides."""


@review.command("list", cls=Command)
@click.option("--state", type=click.Choice(_STATES), default="open", show_default=True)
@click.option("--rollout", help="Of this rollout only.")
@click.option("--model", help="Of this model only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=200, show_default=True)
def list_reviews(state: str, rollout: str | None, model: str | None, limit: int) -> None:
    """List reviews, those first whose time is over first; JSON has all that was sent."""
    from penstock import reviewing
    from rollout.reviews import State

    with opened() as here:
        found = reviewing.listed(
            here, state=None if state == "all" else State(state), rollout=rollout,
            models=None if model is None else [model], limit=limit,
        )  # fmt: skip
    columns = ["id", "model", "version", "proposed", "deadline_ms"]
    output().rows(found, columns if state == "open" else [*columns, "state", "by", "label"])


@review.command(cls=Command)
@_ID
@click.option("--sensitive", is_flag=True, help="Also what the model declares sensitive.")
def show(id: str, sensitive: bool) -> None:
    """Show a review with all that the service sent."""
    from penstock import reviewing

    with opened() as here:
        found = reviewing.known(here, id, sensitive=sensitive)
    output().item(found)


@review.command(cls=Command)
@_ID
@click.option("--reason", default="confirmed", callback=said, help="Why.")
def confirm(id: str, reason: str) -> None:
    """Let the service act on the proposed answer."""
    _say(id, "confirmed", "Confirm {proposed!r} of {model} {version}?", reason, None)


@review.command(cls=Command)
@_ID
@click.option("--reason", required=True, callback=said, help="Why.")
@click.option("--label", help="What would have been right.")
def refuse(id: str, reason: str, label: str | None) -> None:
    """Let the service act on the champion's answer."""
    _say(id, "refused", "Refuse {proposed!r} of {model} {version}?", reason, label)


def _say(id: str, state: str, question: str, reason: str, label: str | None) -> None:
    from penstock import reviewing
    from rollout.reviews import Saying, State

    with opened() as here:
        seen = reviewing.known(here, id)
        output().agree(
            question.format(proposed=seen.proposed, model=seen.model, version=seen.version)
        )
        who = person(reason)
        saying = Saying(state=State(state), by=who.name, reason=who.reason, label=label)
        found = reviewing.say(here, id, saying)
    output().item(found)
