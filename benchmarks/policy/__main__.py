"""What a rollout's whole policy keeps and costs, through intake, judge and controller.

    python -m benchmarks.policy [--runs N] [--seed S] [--only PATTERN] [--json]

Five guardrails, twenty slices of which two are protected, 250 requests an hour, a look at every
hour's frozen panes: runs of a version exactly at all five margins, of a bad one, and of one that
turns bad after 30 hours. Beside them what Flagger's and Argo Rollouts' rules say of the same
requests, with fixed limits that say the same as the margins. Then labels until a verdict, and the
time of a verdict. But for times, the figures of one seed are the same each time.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks import shadow
from benchmarks.figures import Figure, tell
from benchmarks.policy import audits, report, traffic, verdicts
from benchmarks.policy.runs import AT_MARGIN, HARMFUL, LATE, play, told
from benchmarks.policy.service import template
from benchmarks.simulation import processes

T = TypeVar("T")

PROCESSES = 2
RUNS = 100


@dataclass(frozen=True)
class Bench:
    """Runs of one benchmark: from which seed, in which processes, on copies of which database."""

    runs: int
    seed: int
    workers: Executor
    database: Path
    began: float

    def many(self, what: str, one: Callable[[np.random.SeedSequence], T], share: float) -> list[T]:
        """`share` of the runs, each from its own seed; tells how far it is."""
        count = max(2, round(share * self.runs))
        key = sum(what.encode())
        found = []
        seeds = np.random.SeedSequence([self.seed, key]).spawn(count)
        for no, each in enumerate(self.workers.map(one, seeds), 1):
            found.append(each)
            if no % max(1, count // 10) == 0:
                spent = time.monotonic() - self.began
                print(f"{spent:6.0f} s  {what}: {no} of {count}", file=sys.stderr, flush=True)
        return found


def margin(bench: Bench) -> Iterator[Figure]:
    one = partial(play, AT_MARGIN, bench.database)
    return report.at_margin(bench.many("at the margins", one, 1))


def harmful(bench: Bench) -> Iterator[Figure]:
    one = partial(play, HARMFUL, bench.database)
    return report.harmful(bench.many("harmful", one, 0.4))


def late(bench: Bench) -> Iterator[Figure]:
    return report.late(bench.many("late harm", partial(play, LATE, bench.database), 0.2))


def equal(bench: Bench) -> Iterator[Figure]:
    one = partial(told, traffic.EQUAL, 24)
    return report.equal(bench.many("equal, by the others", one, 2))


def labels(bench: Bench) -> Iterator[Figure]:
    one = partial(audits.share, bench.database)
    return report.labels(bench.many("labels", one, 0.5))


def verdict(bench: Bench) -> Iterator[Figure]:
    ratio, ms = verdicts.ratio(bench.database)
    against = f"{verdicts.MANY:.0e} over {verdicts.FEW:.0e} counted requests"
    yield Figure("verdict.traffic_ratio", ratio, "ratio", "0.9-1.1", against)
    yield Figure("verdict.ms", ms, "ms", "-", "15 verdicts on five guardrails, read and judged")


def of_shadow(_: Bench) -> Iterator[Figure]:
    return shadow.figures()


PARTS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "margin": margin, "harmful": harmful, "late": late, "equal": equal, "labels": labels,
    "verdict": verdict, "shadow": of_shadow,
}  # fmt: skip


def main() -> None:
    """Plays all parts, or those whose name matches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=RUNS, help=f"at the margins; {RUNS}")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--only", default="*", metavar="PATTERN", help=", ".join(PARTS))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    with template() as database, processes(PROCESSES) as workers:
        bench = Bench(options.runs, options.seed, workers, database, time.monotonic())
        for name, part in PARTS.items():
            if fnmatch(name, options.only):
                for figure in part(bench):
                    tell(figure, as_json=options.json)


if __name__ == "__main__":
    main()
