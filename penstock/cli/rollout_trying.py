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
@click.option("--rates", type=_FILES, help="What traffic is like (YAML or JSON), where you know.")
@click.option(
    "--effect", multiple=True, metavar="NAME=CHANGE",
    help="A scenario of your own: misses=-0.005, errors=+20%; may be given again.",
)  # fmt: skip
@click.option("--futures", default=100, show_default=True, type=click.IntRange(10, 10_000))
@click.option("--seed", default=0, show_default=True, help="The same seed, the same luck.")
def plan(
    file: Path, requests_a_day: float | None, rates: Path | None, effect: tuple[str, ...],
    futures: int, seed: int,
) -> None:  # fmt: skip
    """Simulate what becomes of the spec in FILE, on traffic like the last week's.

    Futures are drawn for a challenger that equals the champion, is better or worse by the margins,
    and worse by twice them. `basis` says what traffic is taken to be like, and whence.
    """
    from penstock import planning
    from penstock.cli.progress import Progress
    from penstock.cli.settings import settings

    progress = Progress(output(), total=futures, of="futures of each scenario")
    found = planning.plan(
        settings(), file, requests_a_day=requests_a_day, stated=rates, effects=effect,
        futures=futures, seed=seed, tell=lambda share: progress.show(int(futures * share)),
    )  # fmt: skip
    progress.end()
    output().parts(
        found,
        {
            "fates": [
                "scenario", "promoted", "rolled_back", "paused", "harm", "deadline",
                "blind", "days", "days_90", "labels", "extra",
            ],
            "steps": [
                "scenario", "step", "weight", "reached", "advanced", "days_10", "days", "days_90",
                "deadline_days", "waits_for",
            ],
            "warnings": ["step", "chance", "reason", "fix"],
            "basis": ["of", "field", "value", "known"],
        },
    )  # fmt: skip


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
