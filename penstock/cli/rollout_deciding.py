"""`penstock rollout start|promote|pause|resume|rollback|approve`: what a person decides."""

from typing import Any

import click

from penstock.cli.base import Command, output
from penstock.cli.rollout import opened, person, reason, show

_NAME = click.argument("name")
_IN_FREEZE = click.option("--in-freeze", is_flag=True, help="Although the spec has a freeze now.")


@click.command(cls=Command)
@_NAME
@reason
@_IN_FREEZE
def start(name: str, reason: str, in_freeze: bool) -> None:
    """Begin with the first stage."""
    question = "Start {name} with {first} on route {route}?"
    _decide(name, "start", question, reason, in_freeze=in_freeze)


@click.command(cls=Command)
@_NAME
@reason
@click.option(
    "--override", multiple=True, metavar="METRIC",
    help="Although this metric crossed its limit or is not proven to keep it.",
)  # fmt: skip
@_IN_FREEZE
def promote(name: str, reason: str, override: tuple[str, ...], in_freeze: bool) -> None:
    """Go a step further; what the evidence says against it must be named."""
    question = "Promote {name} from {stage} to {ahead}?"
    _decide(name, "promote", question, reason, override=override, in_freeze=in_freeze)


@click.command(cls=Command)
@_NAME
@reason
def pause(name: str, reason: str) -> None:
    """Stay at these weights; proven harm still goes back."""
    _decide(name, "pause", "Pause {name}?", reason)


@click.command(cls=Command)
@_NAME
@reason
def resume(name: str, reason: str) -> None:
    """Go on where it was paused, with the stage's deadline anew."""
    _decide(name, "resume", "Resume {name}?", reason)


@click.command(cls=Command)
@_NAME
@reason
@click.option("--challenger", help="Only this one of several; the others go on.")
def rollback(name: str, reason: str, challenger: str | None) -> None:
    """Give everything back to the champion, at once. It is never refused."""
    all_back = "Roll {name} back: {champion} answers all?"
    one_back = f"Take {challenger} out of {{name}}?"
    _decide(name, "rollback", one_back if challenger else all_back, reason, arm=challenger)


@click.command(cls=Command)
@_NAME
@reason
@click.option("--revision", type=int, help="Be the second person for this revision.")
def approve(name: str, reason: str, revision: int | None) -> None:
    """Sign the approval where it stands, or let a loosening revision hold."""
    question = f"Let revision {revision} of {{name}} hold?" if revision else "Sign {name}?"
    _decide(name, "approve", question, reason, revision=revision)


def _decide(name: str, action: str, question: str, reason: str, **others: Any) -> None:
    """Asks, decides on what was seen, and shows where the rollout stands then."""
    from penstock import rollouts
    from penstock.deciding import Action, Wish
    from penstock.rollout_views import ahead

    with opened() as here:
        seen = here.standing(name)
        words = question.format(
            name=name, route=seen.route, stage=seen.state.place.kind, ahead=ahead(seen),
            first=seen.course[0].name, champion=seen.declared.spec.champion.version,
        )  # fmt: skip
        output().agree(words)
        wish = Wish(
            rollout=name,
            action=Action(action),
            who=person(reason),
            seen_seq=seen.state.seq,
            **others,
        )
        rollouts.decide(here, wish)
        show(here, name)
