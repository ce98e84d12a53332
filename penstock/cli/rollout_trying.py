"""`penstock rollout plan|backtest`: what a spec will take, and what it would have done."""

from pathlib import Path

import click

from penstock.cli.base import Command, output

_FILES = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("file", type=_FILES)
@click.option(
    "--requests-a-day", type=click.FloatRange(min=1), help="Instead of those of the last week."
)
def plan(file: Path, requests_a_day: float | None) -> None:
    """Say how long the spec in FILE will take on recorded traffic, for a version that is as good.

    Each step takes as long as its slowest metric or floor. What is counted here stands in the place
    of assumptions; `assuming` says which is which.
    """
    from penstock import planning
    from penstock.cli.settings import settings

    found = planning.plan(settings(), file, requests_a_day=requests_a_day)
    output().parts(
        found,
        {
            "steps": [
                "step", "weight", "days", "ninety_days", "deadline_days", "fits", "waits_for"
            ],
            "proofs": [
                "step", "metric", "units", "days", "ninety_days", "labels", "detectable",
                "assuming",
            ],
        },
    )  # fmt: skip
    late = [step.step for step in found.steps if not step.fits]
    if late:
        output().say(f"one run in ten or more is over its deadline at: {', '.join(late)}")


@click.command(cls=Command)
@click.argument("file", type=_FILES)
@click.option("--days", default=30.0, show_default=True, help="How far back in the log.")
@click.option(
    "--events", multiple=True, type=_FILES,
    help="Events in a file (JSON Lines) instead of the log's; may be given again.",
)  # fmt: skip
def backtest(file: Path, days: float, events: tuple[Path, ...]) -> None:
    """Try the spec in FILE on recorded traffic: what it would have decided, when, and at what cost.

    A recorded request is given anew by the rollout's own tables, and counts where the version that
    it draws has answered it, live or in shadow. Nothing of this installation is changed.
    """
    from penstock import backtest as trying
    from penstock.cli.progress import Progress
    from penstock.cli.settings import settings
    from penstock.rollout_views import Line

    progress = Progress(output(), total=1_000)

    def tell(share: float, made: list[Line]) -> None:
        progress.show(int(1_000 * share), note="".join(f"  {each.after}" for each in made[-1:]))

    found = trying.backtest(settings(), file, days=days, events=list(events), tell=tell)
    progress.end()
    output().parts(
        found,
        {
            "decisions": ["at_ms", "signal", "before", "after", "who", "because"],
            "verdicts": ["arm", "metric", "slice", "verdict", "n", "estimate", "lower", "upper"],
            "costs": ["policy", "labelled", "wrong", "misses", "false_alarms", "wrong_a_day"],
        },
    )
    if found.traffic.late:
        output().say(
            f"{found.traffic.late:,} events came long after others of their time and were left out;"
            " sort the files by time, and give them in that order"
        )
    if found.bad:
        output().say(f"{found.bad:,} lines could not be read; the first: {found.first_bad}")
