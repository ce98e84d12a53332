"""The closer of sticky units: what events said of them becomes cells, once their time is over.

    enrolment   buckets behind all watermarks: who was first seen there is compared from then on
    period k    units whose period has ended, and whose outcomes have had their time: one value each
    first bad   enrolled units that had a bad event: at once, for harm alone

Each kind has a cursor over the buckets of enrolment, which moves by compare-and-swap in the
transaction that adds to the totals. So what is counted is counted once, whoever dies when, and two
closers at a time only cost one of them its work. What is read is complete: the watermarks of all
partitions have passed it, and nothing can be added to it any more.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from sqlalchemy import Connection, Engine

from rollout import units
from rollout.cells import PLAN, SETTLES_MS, Closed, Enrolled, Opened, Own, decoded
from rollout.partials import width
from rollout.unit_values import span_ms, vectors
from streams import counters, plans, positions
from streams.db.engine import reading, writing
from streams.errors import ConflictError
from streams.facts import pane_of

Ints = npt.NDArray[np.int64]

NOBODY = -1  # the partition of totals that no partition counted
ENROLMENT, DONE = "enrolment", "done"
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
        return _floor(self.opened.opens_ms, self.opened.grain_ms)


class Due(Struct, frozen=True):
    """A period of a metric, for units enrolled from `from_ms` to before `to_ms`.

    Args:
        last_ms: whoever is enrolled from here on has not the whole period in the epoch.
        needs_ms: events before this are of none of them.
    """

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


class UnitCloser:
    """Closes units whose time is over, a step at a time.

    Args:
        partitions: how many the topic has now: units are spread over all of them.
    """

    def __init__(
        self, engine: Engine, *, partitions: Callable[[], int], topic: str, consumer: str = "intake"
    ) -> None:
        self._engine, self._partitions = engine, partitions
        self._topic, self._consumer = topic, consumer
        self._seq = 0
        self._courses: dict[int, Course] = {}

    def step(self) -> bool:
        """Counts what is due of every sticky epoch; whether there may be more at once."""
        with reading(self._engine) as connection:
            self._read_plans(connection)
            watermark_ms = self._watermark(connection) if self._courses else None
        if watermark_ms is None:
            return False
        more = False
        for course in list(self._courses.values()):
            try:
                more |= self._close(course, watermark_ms)
            except ConflictError:
                more = True  # another closer was first: look again
        return more

    def _read_plans(self, connection: Connection) -> None:
        first = not self._seq
        for plan in plans.read(connection, after_seq=self._seq):
            self._seq = plan.seq
            if plan.kind != PLAN:
                continue
            body = decoded(plan.body)
            course = self._courses.get(body.epoch)
            match body:
                case Opened():
                    if body.owned:
                        self._courses[body.epoch] = Course(body)
                case Closed() if course is not None:
                    course.kept_ms, course.closes_ms = body.kept_ms, body.closes_ms
                case Enrolled() if course is not None:
                    course.gaps[body.until_ms] = body
        if first:
            for epoch in units.ended(connection, DONE):
                self._courses.pop(epoch, None)

    def _watermark(self, connection: Connection) -> int | None:
        """What all partitions have passed; None while one was never read."""
        at = positions.standing(connection, consumer=self._consumer, topic=self._topic)
        if len(at) < self._partitions():
            return None
        return min(position.watermark_ms for position in at.values())

    def _close(self, course: Course, watermark_ms: int) -> bool:
        number = course.opened.epoch
        with reading(self._engine) as connection:
            cursors = units.cursors(connection, number)
        if DONE in cursors:
            del self._courses[number]
            return False
        more = self._enrol(course, cursors, watermark_ms)
        more |= self._first_bad(course)
        reached = cursors.get(ENROLMENT, course.begins_ms)
        found = list(due(course, cursors, min(reached, watermark_ms), watermark_ms))
        for each in found:
            more |= self._count(course, each)
        return more or self._forget(course, found, reached, watermark_ms)

    def _enrol(self, course: Course, cursors: dict[str, int], watermark_ms: int) -> bool:
        """Who was first seen behind all watermarks is enrolled, in the arm that answered."""
        opened = course.opened
        before_ms = cursors.get(ENROLMENT)
        from_ms = course.begins_ms if before_ms is None else before_ms
        limit_ms = _floor(watermark_ms - SETTLES_MS - 1, opened.grain_ms)
        if limit_ms <= from_ms:
            return False
        with reading(self._engine) as connection:
            to_ms = units.up_to(connection, opened.epoch, from_ms, limit_ms, of="partial")
            seen = units.first_seen(connection, opened.epoch, from_ms, to_ms)
        gaps = course.gaps.values()
        found = [s.unit for s in seen if not any(gap.leaves_out(s.first_ms) for gap in gaps)]
        arms = np.array([unit.arm for unit in found], np.int64)
        counted = np.bincount(arms, minlength=1 + len(opened.challengers))
        with writing(self._engine) as connection:
            units.advance(connection, opened.epoch, ENROLMENT, before_ms, to_ms)
            units.enrol(connection, opened.epoch, found)
            _add(connection, {opened.enrolled: counted})
        cursors[ENROLMENT] = to_ms
        return to_ms < limit_ms

    def _count(self, course: Course, each: Due) -> bool:
        """These units have their value of the period."""
        if each.to_ms <= each.from_ms:
            return False
        opened, own = course.opened, course.opened.owned[each.no]
        span = span_ms(own, opened.grain_ms, each.period)
        with reading(self._engine) as connection:
            to_ms = units.up_to(connection, opened.epoch, each.from_ms, each.to_ms, of="enrolled")
            here = (each.from_ms, to_ms)
            found = units.enrolled(connection, opened.epoch, *here)
            sums = units.sums(
                connection, opened.epoch, found, width(opened), enrolled_ms=here, span_ms=span
            )
        cells = vectors(opened, each.no, each.period, found, sums) if found else {}
        with writing(self._engine) as connection:
            units.advance(connection, opened.epoch, each.what, each.before_ms, to_ms)
            _add(connection, cells)
        return to_ms < each.to_ms

    def _first_bad(self, course: Course) -> bool:
        """Enrolled units that had a bad event count in their arm."""
        opened = course.opened
        if not any(metric.crash for metric in opened.metrics):
            return False
        with reading(self._engine) as connection:
            found = units.bad(connection, opened.epoch)
        cells: dict[str, Ints] = {}
        by_metric: dict[int, list[int]] = {}
        for metric, unit8, arm in found:
            vector = np.zeros(1 + len(opened.challengers), np.int64)
            cells.setdefault(opened.first_bad(metric), vector)[arm] += 1
            by_metric.setdefault(metric, []).append(unit8)
        if not found:
            return False
        with writing(self._engine) as connection:
            for metric, counted in by_metric.items():
                units.count_bad(connection, opened.epoch, metric, counted)
            _add(connection, cells)
        return True

    def _forget(
        self, course: Course, found: Sequence[Due], reached_ms: int, watermark_ms: int
    ) -> bool:
        """Events that no unit needs any more are gone, and all units when the epoch is over.

        Some at a time; returns whether there may be more.
        """
        opened = course.opened
        settles = max((own.settles_ms for own in opened.owned.values()), default=SETTLES_MS)
        over_ms = course.closes_ms + opened.grain_ms + max(settles, SETTLES_MS)
        is_over = watermark_ms > over_ms and reached_ms >= course.closes_ms
        is_over &= all(each.from_ms >= each.last_ms for each in found)
        needed_ms = min([reached_ms, *(each.needs_ms for each in found)])
        if not is_over and needed_ms <= course.forgotten_ms:
            return False
        with writing(self._engine) as connection:
            if is_over:
                more = units.forget_units(connection, opened.epoch)
                if not more:
                    units.advance(connection, opened.epoch, DONE, None, watermark_ms)
                return more
            to_ms = units.up_to(connection, opened.epoch, 0, needed_ms, of="partial")
            units.forget(connection, opened.epoch, to_ms)
        course.forgotten_ms = to_ms
        return to_ms < needed_ms


def due(
    course: Course, cursors: dict[str, int], reached_ms: int, watermark_ms: int
) -> Iterator[Due]:
    """Every period of every metric that has begun, and what of it can be counted now.

    Args:
        reached_ms: who was first seen before this is enrolled.
        watermark_ms: what all partitions have passed.
    """
    opened = course.opened
    for no, own in opened.owned.items():
        period, begun = 0, True
        while begun:
            period += 1
            each = _due(course, no, own, period, cursors, (reached_ms, watermark_ms))
            begun = each.to_ms > course.begins_ms
            if begun or each.last_ms > course.begins_ms:
                yield each


def _due(
    course: Course, no: int, own: Own, period: int, cursors: dict[str, int], now: tuple[int, int]
) -> Due:
    grain = course.opened.grain_ms
    starts, ends = span_ms(own, grain, period)
    before_ms = cursors.get(f"{no}/{period}")
    from_ms = course.begins_ms if before_ms is None else before_ms
    last_ms = _floor(course.kept_ms - ends, grain) + grain
    reached_ms, watermark_ms = now
    to_ms = min(
        reached_ms, last_ms, _floor(watermark_ms - ends - own.settles_ms - 1, grain) + grain
    )
    return Due(no, period, before_ms, from_ms, max(from_ms, to_ms), last_ms, from_ms + starts)


def _add(connection: Connection, cells: dict[str, Ints]) -> None:
    counters.add_totals(connection, {(what, NOBODY): [vector] for what, vector in cells.items()})


def _floor(time_ms: int, grain_ms: int) -> int:
    return int(pane_of(np.array([time_ms]), grain_ms)[0])
