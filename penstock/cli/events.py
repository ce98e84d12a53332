"""`penstock events`: what comes in, and what was refused."""

from pathlib import Path

import click

from penstock.cli.base import Command, Group, output


@click.group(cls=Group)
def events() -> None:
    """Events in the log, and those that could not be taken."""


@events.command(cls=Command)
@click.option("--model", help="Only this model's.")
@click.option("-n", "--count", default=20, show_default=True, type=click.IntRange(0, 100_000))
@click.option("-f", "--follow", is_flag=True, help="Go on with new events until Ctrl-C.")
def tail(model: str | None, count: int, follow: bool) -> None:
    """Print the newest events with their places (partition@offset.index)."""
    from penstock import tailing
    from penstock.cli.settings import installation

    with installation() as here:
        found = tailing.recent(here.log, count=count, model=model)
        output().stream(found, tailing.Seen.text, ends=not follow)
        if follow:
            output().stream(tailing.follow(here.log, model=model), tailing.Seen.text)


@events.command(cls=Command)
@click.option("--model", help="Only this model's.")
@click.option("--since", metavar="AGE", help="Only events of the last 30m, 6h, 7d, ...")
def counts(model: str | None, since: str | None) -> None:
    """Count answers, pairs and outcomes by model, version, role and arm."""
    from penstock import counting
    from penstock.cli.settings import installation

    with installation() as here:
        found = counting.counts(here, model=model, since=since)
    output().rows(found, counting.COLUMNS)


@events.command(cls=Command)
@click.option("--after", default=0, help="Only letters past this id.")
@click.option("-n", "--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
def rejected(after: int, limit: int) -> None:
    """List what could not be taken: code, field, reason, place and what was sent."""
    from penstock import retrying
    from penstock.cli.settings import installation

    with installation() as here:
        found = retrying.page(here, after_id=after, limit=limit)
    output().rows(found, ["id", "at_ms", "code", "field", "detail", "place", "retried_ms", "raw"])


@events.command(cls=Command)
@click.option("--id", "ids", multiple=True, type=int, help="A dead letter; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Every letter that was not sent again.")
@click.option(
    "--file", type=click.Path(path_type=Path), help="Edited events, one line for each --id."
)
def retry(ids: tuple[int, ...], everything: bool, file: Path | None) -> int:
    """Send rejected events again; exit code 1 when one is refused again."""
    from penstock import retrying
    from penstock.cli.settings import installation

    if bool(ids) == everything:
        raise click.UsageError("name letters with --id, or say --all")
    edited = None if file is None else retrying.edited(file)
    with installation() as here:
        done = retrying.retry(here, ids=ids, edited=edited)
    output().rows(done, ["id", "sent", "code", "detail"])
    return 0 if all(letter.sent for letter in done) else 1
