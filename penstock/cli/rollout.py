"""`penstock rollout`: from a spec to a decision. What its commands share."""

import getpass
import grp
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from penstock.cli.base import Group, output

if TYPE_CHECKING:
    from penstock.rollouts import Store
    from rollout.decisions import Person

_HERE = "penstock.cli.rollout"
COMMANDS = {
    "lint": (f"{_HERE}_specs", "lint", "Say what a spec contradicts, and what it measures."),
    "create": (f"{_HERE}_specs", "create", "Make a draft of a spec; nothing runs before `start`."),
    "edit": (f"{_HERE}_specs", "edit", "Make a spec a revision of the rollout that it names."),
    "plan": (f"{_HERE}_trying", "plan", "Say how long a spec will take here."),
    "backtest": (f"{_HERE}_trying", "backtest", "Try a spec on recorded traffic."),
    "list": (f"{_HERE}_looking", "list_rollouts", "List every rollout and where it stands."),
    "get": (f"{_HERE}_looking", "get", "Show where one stands, and its metrics; -w goes on."),
    "explain": (f"{_HERE}_looking", "explain", "Say what a rollout waits for, and why."),
    "wait": (f"{_HERE}_looking", "wait", "Wait until it is promoted, safe or at a stage."),
    "log": (f"{_HERE}_looking", "log", "List the decisions about a rollout with their causes."),
    "export": (f"{_HERE}_looking", "export", "Write all of it to a file that proves itself."),
    "start": (f"{_HERE}_deciding", "start", "Begin with the first stage."),
    "promote": (f"{_HERE}_deciding", "promote", "Go a step further."),
    "pause": (f"{_HERE}_deciding", "pause", "Stay at these weights."),
    "resume": (f"{_HERE}_deciding", "resume", "Go on where it was paused."),
    "rollback": (f"{_HERE}_deciding", "rollback", "Give everything back to the champion."),
    "approve": (f"{_HERE}_deciding", "approve", "Sign an approval, or let a revision hold."),
}

rollout = Group(
    "rollout",
    entries=COMMANDS,
    no_args_is_help=True,
    help="Rollouts: from a spec to a decision, with its evidence.",
)


def said(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
    """The reason that was given; one of white space is none."""
    if not text.strip():
        raise click.BadParameter("say why")
    return text


reason = click.option(
    "--reason", required=True, callback=said, help="Why; it stands in the log for ever."
)


def opened() -> AbstractContextManager["Store"]:
    """The store of the installation that the environment names."""
    from penstock import rollouts
    from penstock.cli.settings import settings

    return rollouts.opened(settings())


def show(here: "Store", name: str) -> None:
    """Where the rollout stands, on a screen or as the object that the API answers."""
    from penstock import rollouts
    from penstock.cli.rollout_screen import screen

    seen = rollouts.shown(here, name)
    if output().format == "table":
        output().stream(screen(seen, now_ms=here.clock.domain_ms()), str)
    else:
        output().item(seen)


def person(reason: str) -> "Person":
    """Who is logged in on this machine, with the groups of the account."""
    from rollout.decisions import Person

    name = getpass.getuser()
    groups = {entry.gr_name for entry in grp.getgrall() if name in entry.gr_mem}
    return Person(name=name, reason=reason, via="cli", groups=tuple(sorted(groups)))
