"""`python -m benchmarks.cli --json`: how long `penstock --help` takes, beside bare Python."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.figures import Figure, tell

RUNS = 21
GOAL_MS = 150.0


def median_ms(command: Sequence[str]) -> float:
    """The median over RUNS of the wall time of `command`, after one run to warm the disk."""
    times: list[float] = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environ())
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times[1:])


def _environ() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("PENSTOCK_")}


def main() -> None:
    """Prints cli.help.ms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    as_json = parser.parse_args().json
    bare_ms = median_ms([sys.executable, "-c", "pass"])
    help_ms = median_ms([sys.executable, "-m", "penstock.cli.main", "--help"])
    against = f"python -c pass {bare_ms:.0f} ms"
    tell(Figure("cli.help.ms", help_ms, "ms", f"< {GOAL_MS:.0f}", against), as_json=as_json)


if __name__ == "__main__":
    main()
