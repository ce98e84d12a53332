"""`penstock rollout`: from a spec to a decision."""

import getpass
import grp
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.base import Command, Group, output

if TYPE_CHECKING:
    from penstock.rollout_views import View
    from penstock.rollouts import Store
    from rollout.decisions import Person


def _said(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
    if not text.strip():
        raise click.BadParameter("say why")
    return text


reason = click.option(
    "--reason", required=True, callback=_said, help="Why; it stands in the log for ever."
)
in_freeze = click.option("--in-freeze", is_flag=True, help="Although the spec has a freeze now.")


@click.group(cls=Group)
def rollout() -> None:
    """Rollouts: from a spec to a decision, with its evidence."""


@rollout.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--model", type=click.Path(path_type=Path), help="Hold it against this declaration instead."
)
def lint(file: Path, model: Path | None) -> int:
    """Say what a spec contradicts, and what each of its metrics becomes."""
    from penstock import linting
    from penstock.cli.settings import settings

    report = linting.lint(settings(), file, model=model)
    if output().format == "table":
        output().stream(linting.words(report), str)
    else:
        output().item(report)
    return 0 if report.ok else 1


@rollout.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reason", default="", help="Why it is done.")
def create(file: Path, reason: str) -> None:
    """Make a draft of the spec in FILE; nothing runs before `start`."""
    from penstock import rollouts

    with _store() as here:
        made = rollouts.create(here, file, who=_person(reason))
    _show(made)


@rollout.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@reason
def edit(file: Path, reason: str) -> None:
    """Make the spec in FILE a revision of the rollout that it names."""
    from penstock import rollouts

    with _store() as here:
        found = rollouts.edit(here, file, who=_person(reason))
    output().parts(found, {"changes": ["field", "before", "after", "loosens"]})
    if not found.holds:
        output().say(
            f"it loosens what guards the rollout; a second person lets it hold:\n"
            f"  penstock rollout approve {found.rollout} --revision {found.revision}"
        )


@rollout.command("list", cls=Command)
def list_rollouts() -> None:
    """List every rollout and where it stands, the newest first."""
    from penstock import rollouts

    with _store() as here:
        found = rollouts.listed(here)
    output().rows(found, ["rollout", "model", "route", "stage", "changed_ms"])


@rollout.command(cls=Command)
@click.argument("name")
def get(name: str) -> None:
    """Show where a rollout stands and what is ahead of it."""
    from penstock.rollout_views import view

    with _store() as here:
        _show(view(here.standing(name)))


@rollout.command(cls=Command)
@click.argument("name")
def log(name: str) -> None:
    """List the decisions about a rollout, oldest first, each with its cause."""
    from penstock.rollout_views import lines

    with _store() as here:
        found = lines(here.standing(name))
    output().rows(found, ["seq", "at_ms", "signal", "before", "after", "who", "because"])


@rollout.command(cls=Command)
@click.argument("name")
@reason
@in_freeze
def start(name: str, reason: str, in_freeze: bool) -> None:
    """Begin with the first stage."""
    from penstock import rollouts

    with _store() as here:
        seen = here.standing(name)
        output().agree(f"Start {name} with {seen.course[0].name} on route {seen.route}?")
        _show(rollouts.start(here, seen, who=_person(reason), in_freeze=in_freeze))


@rollout.command(cls=Command)
@click.argument("name")
@reason
@in_freeze
def promote(name: str, reason: str, in_freeze: bool) -> None:
    """Go a step further, whatever the metrics say; an approval must be signed."""
    from penstock import rollouts
    from penstock.rollout_views import ahead

    with _store() as here:
        seen = here.standing(name)
        output().agree(f"Promote {name} from {seen.state.place.kind} to {ahead(seen)}?")
        _show(rollouts.promote(here, seen, who=_person(reason), in_freeze=in_freeze))


@rollout.command(cls=Command)
@click.argument("name")
@reason
def pause(name: str, reason: str) -> None:
    """Stay at these weights; proven harm still goes back."""
    _act(name, "pause", f"Pause {name}?", reason)


@rollout.command(cls=Command)
@click.argument("name")
@reason
def resume(name: str, reason: str) -> None:
    """Go on where it was paused, with the stage's deadline anew."""
    _act(name, "resume", f"Resume {name}?", reason)


@rollout.command(cls=Command)
@click.argument("name")
@reason
@click.option("--challenger", help="Only this one of several; the others go on.")
def rollback(name: str, reason: str, challenger: str | None) -> None:
    """Give everything back to the champion, at once. It is never refused."""
    if challenger is None:
        _act(name, "rollback", f"Roll {name} back: the champion answers all?", reason)
    else:
        _act(name, "drop", f"Take {challenger} out of {name}?", reason, arm=challenger)


@rollout.command(cls=Command)
@click.argument("name")
@reason
@click.option("--revision", type=int, help="Be the second person for this revision.")
def approve(name: str, reason: str, revision: int | None) -> None:
    """Sign the approval where it stands, or let a loosening revision hold."""
    from penstock import rollouts

    if revision is None:
        _act(name, "sign", f"Sign the approval of {name}?", reason)
        return
    output().agree(f"Let revision {revision} of {name} hold?")
    with _store() as here:
        _show(rollouts.confirm(here, name, revision, who=_person(reason)))


def _act(name: str, signal: str, question: str, reason: str, *, arm: str | None = None) -> None:
    from penstock import rollouts
    from rollout.stages import Signal

    with _store() as here:
        seen = here.standing(name)
        output().agree(question)
        _show(rollouts.act(here, seen, Signal(signal), who=_person(reason), arm=arm))


def _store() -> AbstractContextManager["Store"]:
    from penstock import rollouts
    from penstock.cli.settings import settings

    return rollouts.opened(settings())


def _show(view: "View") -> None:
    output().parts(view, {"steps": ["step", "weight", "state"]})


def _person(reason: str) -> "Person":
    """Who is logged in on this machine, with the groups of the account."""
    from rollout.decisions import Person

    name = getpass.getuser()
    groups = {entry.gr_name for entry in grp.getgrall() if name in entry.gr_mem}
    return Person(name=name, reason=reason, via="cli", groups=tuple(sorted(groups)))
