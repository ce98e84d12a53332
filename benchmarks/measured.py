"""What was measured: a method in a contest, and a design under a plan."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.simulation import Rate
from benchmarks.stopping import Stopped


@dataclass(frozen=True)
class Row:
    """One method in one contest."""

    method: str
    false_alarm: Rate
    false_promotion: Rate
    harm_found: Rate
    harm_units: float  # median over all runs; infinite when fewer than half found it
    safe_found: Rate
    safe_units: float

    @property
    def ours(self) -> bool:
        return "Penstock**" in self.method

    def figures(self, contest: str) -> Iterator[Figure]:
        stem = f"error_rates.{contest}.{_slug(self.method)}"
        goal = "<= 0.05" if self.ours else "-"
        for name, rate, bar in (
            ("false_alarm", self.false_alarm, goal),
            ("false_promotion", self.false_promotion, goal),
            ("harm_found", self.harm_found, "-"),
            ("safe_found", self.safe_found, "-"),
        ):
            against = f"nominal 0.05, +- {rate.standard_error:.4f}, {rate.replicates} runs"
            yield Figure(f"{stem}.{name}", rate.share, "share", bar, against)
        for name, units in (("harm_units", self.harm_units), ("safe_units", self.safe_units)):
            if math.isfinite(units):
                yield Figure(f"{stem}.{name}", units, "units", "-", "median of all runs")


@dataclass(frozen=True)
class Line:
    """One design and one plan: how long until the decision."""

    design: str
    rare: bool
    n80: int
    score_n80: int
    planned: float
    stopped: Stopped

    @property
    def median_goal(self) -> float:
        return 1.9 if self.rare else 1.6 if self.planned == 1 else 2.1

    def figures(self) -> Iterator[Figure]:
        stem = f"stopping.{_slug(self.design)}.planned_{self.planned:g}"
        against = f"fixed horizon n80 = {self.n80}"
        ninety = "<= 2.8" if self.planned == 1 and not self.rare else "-"
        goal = f"<= {self.median_goal}"
        yield Figure(f"{stem}.median", self.stopped.median, "n80", goal, against)
        yield Figure(f"{stem}.ninety", self.stopped.ninety, "n80", ninety, against)
        yield Figure(f"{stem}.within_8", self.stopped.within(8), "share", "1", against)


def _slug(name: str) -> str:
    return "-".join(re.findall(r"[a-z0-9.]+", name.lower()))
