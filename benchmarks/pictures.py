"""Draws the two pictures of docs/statistics.md from simulated traffic, always the same.

    python -m benchmarks.pictures

They are SVG without a background, in greys that stand on light and on dark paper.
"""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from benchmarks.metrics import ErrorRate
from benchmarks.peers import Seen, z_test
from benchmarks.scenarios import Traffic
from benchmarks.simulation import simulate
from evidence.bets import Plan, mixed
from evidence.domain import Floats, Ints
from evidence.effects import Difference
from evidence.results import Side
from evidence.sequences import Epoch, bound

DOCS = Path(__file__).parents[1] / "docs"
RUNS, UNITS = 1_000, 20_000
LOOKS: Ints = np.unique(np.geomspace(100, UNITS, 250).astype(np.int64))
SAME = Traffic(ErrorRate(0.05), pi=0.5, n=UNITS)
BETTER = Traffic(ErrorRate(0.05), pi=0.5, n=60_000, effect=0.95)
MARGIN, SEED = 0.01, 1
INK, OURS, THEIRS = "#808080", "#2f81c8", "#d0603a"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "penstock",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def alarmed(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Whether a peeked z-test, and ours, has cried harm by each look at two equal versions."""
    units = SAME.units(rng)
    theirs = z_test(Seen.of(units, LOOKS), 0.0, Side.ABOVE)
    test = Difference(SAME.arms(Plan(n_star=5_000)))
    ours = mixed(test.log_wealth(SAME.counts(rng, units, LOOKS), 0.0, Side.ABOVE))
    said = np.maximum.accumulate(np.stack([theirs, ours >= math.log(20)]), axis=1)
    return said[0].astype(float), said[1].astype(float)


def peeking(figure: Figure) -> None:
    """Share of harmless versions that were blamed by the n-th unit."""
    theirs, ours = np.array(simulate(alarmed, RUNS, seed=1)).mean(axis=0)
    axes = figure.subplots()
    axes.semilogx(LOOKS, 100 * theirs, color=THEIRS, linewidth=2)
    axes.semilogx(LOOKS, 100 * ours, color=OURS, linewidth=2)
    axes.axhline(5, color=INK, linewidth=1, linestyle="--")
    axes.text(2_000, 5.8, "5 %, promised by both")
    axes.text(1_500, 100 * theirs[-1] - 3, "z-test, read again and again", color=THEIRS)
    axes.text(6_000, 100 * ours[-1] + 0.9, "Penstock", color=OURS)
    axes.set_xlabel("units so far, two versions with the same 5 % error rate")
    axes.set_ylabel("false alarms so far, %")
    axes.set_xlim(100, UNITS)
    axes.set_ylim(0, None)
    thousands(axes)


def closing_in(figure: Figure) -> None:
    """One rollout: the interval around the difference of error rates as units come."""
    rng = np.random.default_rng(SEED)
    at = np.unique(np.geomspace(300, BETTER.n, 160).astype(np.int64))
    counts = BETTER.counts(rng, BETTER.units(rng), at)
    test = Difference(BETTER.arms(Plan(n_star=20_000)))
    ends = np.array([[bound([Epoch(test, c)], side, alpha=0.025) for side in Side] for c in counts])
    seen = np.array([test.estimate(c) for c in counts], dtype=float)
    safe = int(at[np.argmax(ends[:, 1] < MARGIN)])
    axes = figure.subplots()
    axes.fill_between(at, *(100 * ends.T), color=OURS, alpha=0.25, linewidth=0)
    axes.semilogx(at, 100 * seen, color=OURS, linewidth=1.5)
    axes.axhline(100 * MARGIN, color=THEIRS, linewidth=1.5)
    axes.axhline(0, color=INK, linewidth=1)
    truth = BETTER.metric.mean(BETTER.effect) - BETTER.metric.mean()
    axes.axhline(100 * truth, color=INK, linewidth=1, linestyle="--")
    axes.axvline(safe, color=INK, linewidth=1, linestyle=":")
    axes.text(320, 100 * MARGIN + 0.12, "margin: one point worse", color=THEIRS)
    axes.text(320, 0.12, "equal")
    axes.text(320, 100 * truth - 0.45, "the truth")
    axes.text(safe * 1.06, 2.2, f"safe from here:\n{safe:,} units")
    axes.set_xlabel("units so far, both arms")
    axes.set_ylabel("points of error more")
    axes.set_xlim(300, BETTER.n)
    axes.set_ylim(-3.2, 3.2)
    thousands(axes)


def thousands(axes: Axes) -> None:
    """10,000 instead of a power."""
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def main() -> None:
    with mpl.rc_context():
        mpl.rcParams.update(STYLE)
        for draw in (peeking, closing_in):
            figure = Figure(figsize=(7.2, 3.6), layout="constrained")
            draw(figure)
            path = DOCS / f"{draw.__name__.replace('_', '-')}.svg"
            figure.savefig(path, transparent=True, metadata={"Date": None})
            print(path.relative_to(DOCS.parent))


if __name__ == "__main__":
    main()
