"""What a cluster keeps when everything befalls it, and whether a worker's memory grows.

    python -m benchmarks.soak [--kills N] [--minutes M] [--rate R] [--json]

First a fleet (web, control, three workers) on three brokers and PostgreSQL: its processes are
killed, leaders too, PostgreSQL restarts, workers freeze past their session and in the middle of a
write, 3 % of its transactions fail, 1 % of the answers to COMMIT are lost and 1 % of the events
come again. What it has counted is compared, row by row, with an undisturbed run on the embedded
log. Then one worker at a steady rate, sampled, and with nothing to do. 0 leaves a part out.
"""

import argparse
import sys
from collections.abc import Iterator

from benchmarks.figures import Figure, tell
from benchmarks.soak.kills import hit
from benchmarks.soak.report import kill_figures, kill_table, steady_figures, steady_table
from benchmarks.soak.site import sited
from benchmarks.soak.steady import steady
from tests.crash.content import differences

FIRE_PER_S = 350.0  # events, while everything befalls the fleet
IDLE_SHARE = 0.1  # of the minutes, with nothing to do


def main() -> int:
    """0, or 1 when something was lost, doubled or went on in another way."""
    arguments = _arguments()
    code = 0
    if arguments.kills:
        with sited(nodes=3) as site:
            outcome = hit(site, kills=arguments.kills, per_s=FIRE_PER_S)
        _show(kill_figures(outcome), kill_table(outcome), arguments.json)
        code = int(bool(differences(outcome.found, outcome.expected)) or outcome.code != 0)
        if code:
            print(outcome.said, *differences(outcome.found, outcome.expected), sep="\n")
    if arguments.minutes:
        with sited(nodes=1) as site:
            seen = steady(
                site,
                minutes=arguments.minutes,
                idle_minutes=max(1.0, arguments.minutes * IDLE_SHARE),
                per_s=arguments.rate,
            )
        _show(steady_figures(seen), steady_table(seen), arguments.json)
    return code


def _show(figures: Iterator[Figure], table: str, as_json: bool) -> None:
    if not as_json:
        print(f"{table}\n", flush=True)
        return
    for figure in figures:
        tell(figure, as_json=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=60, help="kills and strikes together (60)")
    parser.add_argument("--minutes", type=float, default=30.0, help="of steady load (30)")
    parser.add_argument("--rate", type=float, default=10_000.0, help="events a second (10000)")
    parser.add_argument("--json", action="store_true", help="figures, one JSON object a line")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
