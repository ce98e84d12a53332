"""What of a sticky epoch can be counted by now: periods of metrics, by enrolment. Pure."""

from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from rollout.cells import Enrolled, Opened
from rollout.counted import Own, Side
from rollout.unit_values import span_ms
from streams.facts import pane_of

ENROLMENT = {Side.ARMS: "enrolment", Side.PAIRS: "pairs"}
"""The cursors of who is enrolled, on each side."""
NEVER_MS = 2**62


class Course(Struct):
    """A sticky epoch, and what plans have said of it since it began."""

    opened: Opened
    gaps: dict[int, Enrolled] = {}  # by their begin: who is first seen in one is not compared
    kept_ms: int = NEVER_MS  # no exposure may end later
    closes_ms: int = NEVER_MS
    forgotten_ms: int = 0

    @property
    def begins_ms(self) -> int:
        """The first bucket."""
        return floor(self.opened.opens_ms, self.opened.grain_ms)

    @property
    def sides(self) -> list[Side]:
        """What of its units is counted."""
        return [side for side in Side if self.opened.owned_of(side)]

    def reached(self, cursors: dict[str, int]) -> dict[Side, int]:
        """Whoever was first seen before is enrolled, on each side."""
        return {side: cursors.get(ENROLMENT[side], self.begins_ms) for side in self.sides}


class Due(Struct, frozen=True):
    """A period of a metric, for units enrolled from `from_ms` to before `to_ms`.

    Args:
        last_ms: whoever is enrolled from here on has not the whole period in the epoch.
        needs_ms: events before this are of none of them.
    """

    side: Side
    no: int
    period: int
    before_ms: int | None
    from_ms: int
    to_ms: int
    last_ms: int
    needs_ms: int

    @property
    def what(self) -> str:
        return f"{self.no}/{self.period}"


def due(course: Course, cursors: dict[str, int], watermark_ms: int) -> Iterator[Due]:
    """Every period of every metric that has begun, and what of it can be counted now.

    Pairs have one: what the same units do later is no other evidence.

    Args:
        watermark_ms: what all partitions have passed.
    """
    for side, reached_ms in course.reached(cursors).items():
        now = (min(reached_ms, watermark_ms), watermark_ms)
        for no, own in course.opened.owned_of(side).items():
            period, begun = 0, True
            while begun:
                period += 1
                each = _due(course, side, no, own, period, cursors, now)
                begun = each.to_ms > course.begins_ms and side is Side.ARMS
                if each.to_ms > course.begins_ms or each.last_ms > course.begins_ms:
                    yield each


def _due(
    course: Course, side: Side, no: int, own: Own, period: int, cursors: dict[str, int],
    now: tuple[int, int],
) -> Due:  # fmt: skip
    grain = course.opened.grain_ms
    starts, ends = span_ms(own, grain, period)
    before_ms = cursors.get(f"{no}/{period}")
    from_ms = course.begins_ms if before_ms is None else before_ms
    last_ms = floor(course.kept_ms - ends, grain) + grain
    reached_ms, watermark_ms = now
    to_ms = min(reached_ms, last_ms, floor(watermark_ms - ends - own.settles_ms - 1, grain) + grain)
    return Due(side, no, period, before_ms, from_ms, max(from_ms, to_ms), last_ms, from_ms + starts)


def floor(time_ms: int, grain_ms: int) -> int:
    return int(pane_of(np.array([time_ms]), grain_ms)[0])
