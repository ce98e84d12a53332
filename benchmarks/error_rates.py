"""Error rates of Penstock's statistics and of peers' rules, on the same traffic.

    python -m benchmarks.error_rates [--replicates N] [--seed S] [--only PATTERN] [--json]

Without --only and --json it writes docs/error-rates.md: with the same replicates and seed the same
bytes, whatever the number of processes. With --json it prints one object per cell of its tables.
"""

import argparse
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import error_rates_page as page
from benchmarks.contest import Contest, World
from benchmarks.contests import CONTESTS
from benchmarks.controllers import Decided
from benchmarks.figures import Figure, tell
from benchmarks.measured import Line, Row
from benchmarks.simulation import Rate, processes, simulate
from benchmarks.stopping import DESIGNS, RARE, Design, Stopped

OUT = Path(__file__).parents[1] / "docs" / "error-rates.md"
PLANS = (1.0, 0.01, 100.0)  # the planned size over the right one; a share of events has none


def play(contest: Contest, replicates: int, *, seed: int, workers: Executor) -> list[Row]:
    """Every method on `replicates` histories of each of the three versions."""
    found = {
        world: simulate(
            partial(contest.decide, world),
            replicates,
            seed=[seed, zlib.crc32(contest.key.encode()), place],
            workers=workers,
        )
        for place, world in enumerate(World)
    }
    return [
        Row(
            method=method,
            false_alarm=_rate(found[contest.null], method, _harm),
            false_promotion=_rate(found[World.MARGIN], method, _safe),
            harm_found=_rate(found[World.HARMFUL], method, _harm),
            harm_units=_median(found[World.HARMFUL], method, _harm),
            safe_found=_rate(found[World.SAME], method, _safe),
            safe_units=_median(found[World.SAME], method, _safe),
        )
        for method in found[World.SAME][0]
    ]


def stops(design: Design, replicates: int, *, seed: int, workers: Executor) -> Iterator[Line]:
    """The design under each plan."""
    for planned in PLANS[:1] if design in RARE else PLANS:
        found = simulate(
            partial(design.stops, planned=planned),
            replicates,
            seed=[seed, zlib.crc32(design.name.encode())],
            workers=workers,
        )
        yield Line(
            design=design.name,
            rare=design in RARE,
            n80=design.n80,
            score_n80=design.score_n80,
            planned=planned,
            stopped=Stopped.of(design.n80, found),
        )


Found = list[dict[str, Decided]]
Read = Callable[[Decided], int | None]


def _harm(said: Decided) -> int | None:
    return said.harm


def _safe(said: Decided) -> int | None:
    return said.safe


def _rate(found: Found, method: str, read: Read) -> Rate:
    return Rate.of(read(each[method]) for each in found)


def _median(found: Found, method: str, read: Read) -> float:
    at = [read(each[method]) for each in found]
    return float(np.quantile([np.inf if n is None else n for n in at], 0.5, method="higher"))


def main() -> None:
    """Plays all contests and designs, or those whose key matches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_AsWritten)
    parser.add_argument("--replicates", type=int, default=1_000, help="histories of each version")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="contests, such as 'ramp'")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    whole, began = options.only == "*", time.monotonic()
    rows: dict[Contest, list[Row]] = {}
    lines: list[Line] = []
    with processes(os.cpu_count() or 1) as workers:
        run = {"seed": options.seed, "workers": workers}
        for contest in CONTESTS:
            if fnmatch(contest.key, options.only):
                rows[contest] = play(contest, options.replicates, **run)
                _note(contest.key, began)
        for design in (*DESIGNS, *RARE) if whole else ():
            lines += stops(design, options.replicates, **run)
            _note(design.name, began)
    if options.json or not whole:
        for figure in _figures(rows, lines):
            tell(figure, as_json=options.json)
    else:
        OUT.write_text(page.written(rows, lines, options.replicates, options.seed), "utf-8")


def _figures(rows: dict[Contest, list[Row]], lines: list[Line]) -> Iterator[Figure]:
    for contest, found in rows.items():
        for row in found:
            yield from row.figures(contest.key)
    for line in lines:
        yield from line.figures()


def _note(what: str, began: float) -> None:
    print(f"{time.monotonic() - began:6.0f} s  {what}", file=sys.stderr, flush=True)


class _AsWritten(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The description keeps its lines, and options tell their defaults."""


if __name__ == "__main__":
    main()
