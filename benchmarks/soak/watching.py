"""What the system says of a process: memory and CPU, sampled beside what the store has counted."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

TICKS_A_S = os.sysconf("SC_CLK_TCK")
HOUR_S = 3_600.0


class Sample(msgspec.Struct, frozen=True):
    """One look at a process."""

    at_s: float  # since the first look
    rss_mb: float
    cpu_s: float  # user and system, since the process began
    counted: int  # events, by every worker so far


class Watch:
    """Samples of one process, as often as it is asked."""

    def __init__(self, pid: int, counted: Callable[[], int]) -> None:
        self._process = Path(f"/proc/{pid}")
        self._counted = counted
        self._began_s = time.monotonic()
        self.samples: list[Sample] = []

    def look(self) -> Sample:
        """Raises FileNotFoundError when the process has ended."""
        fields = (self._process / "stat").read_text().rpartition(")")[2].split()
        sample = Sample(
            time.monotonic() - self._began_s,
            int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
            (int(fields[11]) + int(fields[12])) / TICKS_A_S,
            self._counted(),
        )
        self.samples.append(sample)
        return sample

    def settled(self) -> list[Sample]:
        """The samples without the first third, in which caches and pools fill up."""
        end_s = self.samples[-1].at_s
        return [sample for sample in self.samples if sample.at_s >= end_s / 3]

    def rate(self) -> float:
        """Events counted a second, from the first look to the last."""
        return _slope(self.samples[0], self.samples[-1], "counted")

    def cpu_share(self) -> float:
        """Of one core, from the first look to the last."""
        return _slope(self.samples[0], self.samples[-1], "cpu_s")

    def growth_mb_an_hour(self) -> float:
        """Slope of the least-squares line through the settled samples' memory."""
        settled = self.settled()
        times = np.array([sample.at_s for sample in settled])
        slope, _ = np.polyfit(times, np.array([sample.rss_mb for sample in settled]), 1)
        return float(slope) * HOUR_S

    def medians_mb(self, pieces: int) -> list[float]:
        """Median memory of so many pieces of the time, each of as many samples."""
        memory = np.array([sample.rss_mb for sample in self.samples])
        return [float(np.median(piece)) for piece in np.array_split(memory, pieces)]


def _slope(first: Sample, last: Sample, of: str) -> float:
    return float((getattr(last, of) - getattr(first, of)) / (last.at_s - first.at_s))
