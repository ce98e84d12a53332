"""The closer of sticky units: what events said of them becomes cells, once their time is over.

    enrolment   buckets behind all watermarks: who was first seen there is compared from then on,
                in an arm; and the same of who had a pair
    period k    units whose period has ended, and whose outcomes have had their time: one value each
    first bad   enrolled units that had a bad event: at once, for harm alone

Each kind has a cursor over the buckets of enrolment, which moves by compare-and-swap in the
transaction that adds to the totals. So what is counted is counted once, whoever dies when, and two
closers at a time only cost one of them its work. What is read is complete: the watermarks of all
partitions have passed it, and nothing can be added to it any more.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine

from rollout import unit_pairs, unit_values, units
from rollout.cells import PLAN, SETTLES_MS, Closed, Enrolled, Opened, decoded
from rollout.counted import Side
from rollout.partials import width
from rollout.unit_dues import ENROLMENT, Course, Due, due, floor
from rollout.unit_values import span_ms
from streams import counters, plans, positions
from streams.db.engine import reading, writing
from streams.errors import ConflictError

Ints = npt.NDArray[np.int64]

NOBODY = -1  # the partition of totals that no partition counted
DONE = "done"


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
                    if any(metric.own for metric in body.metrics):
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
        more = False
        for side in course.sides:
            more |= self._enrol(course, side, cursors, watermark_ms)
        more |= self._first_bad(course)
        found = list(due(course, cursors, watermark_ms))
        for each in found:
            more |= self._count(course, each)
        return more or self._forget(course, found, cursors, watermark_ms)

    def _enrol(
        self, course: Course, side: Side, cursors: dict[str, int], watermark_ms: int
    ) -> bool:
        """Who was first seen behind all watermarks is enrolled, in the arm that answered."""
        opened, what = course.opened, ENROLMENT[side]
        before_ms = cursors.get(what)
        from_ms = course.begins_ms if before_ms is None else before_ms
        settles_ms = SETTLES_MS if side is Side.ARMS else unit_pairs.settles_ms(opened)
        limit_ms = floor(watermark_ms - settles_ms - 1, opened.grain_ms)
        if limit_ms <= from_ms:
            return False
        with reading(self._engine) as connection:
            to_ms = units.up_to(connection, opened.epoch, from_ms, limit_ms)
            seen = units.first_seen(connection, opened.epoch, side, from_ms, to_ms)
        gaps = course.gaps.values() if side is Side.ARMS else ()
        found = [s.unit for s in seen if not any(gap.leaves_out(s.first_ms) for gap in gaps)]
        with writing(self._engine) as connection:
            units.advance(connection, opened.epoch, what, before_ms, to_ms)
            units.enrol(connection, opened.epoch, side, found)
            if side is Side.ARMS:
                arms = np.array([unit.arm for unit in found], np.int64)
                counted = np.bincount(arms, minlength=1 + len(opened.challengers))
                _add(connection, {opened.enrolled: counted})
        cursors[what] = to_ms
        return to_ms < limit_ms

    def _count(self, course: Course, each: Due) -> bool:
        """These units have their value of the period."""
        if each.to_ms <= each.from_ms:
            return False
        opened, side, epoch = course.opened, each.side, course.opened.epoch
        span = span_ms(opened.owned_of(side)[each.no], opened.grain_ms, each.period)
        wide = width(opened) if side is Side.ARMS else unit_pairs.layout(opened).width
        with reading(self._engine) as connection:
            to_ms = units.up_to(connection, epoch, each.from_ms, each.to_ms, enrolled=side)
            here = (each.from_ms, to_ms)
            found = units.enrolled(connection, epoch, side, *here)
            sums = units.sums(connection, epoch, side, found, wide, enrolled_ms=here, span_ms=span)
        cells: dict[str, Ints] = {}
        if found and side is Side.ARMS:
            cells = unit_values.vectors(opened, each.no, each.period, found, sums)
        elif found:
            cells = unit_pairs.vectors(opened, each.no, found, sums)
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
        self, course: Course, found: Sequence[Due], cursors: dict[str, int], watermark_ms: int
    ) -> bool:
        """Events that no unit needs any more are gone, and all units when the epoch is over.

        Some at a time; returns whether there may be more.
        """
        opened = course.opened
        reached_ms = min(course.reached(cursors).values())
        settles = [
            own.settles_ms for side in course.sides for own in opened.owned_of(side).values()
        ]
        over_ms = course.closes_ms + opened.grain_ms + max([*settles, SETTLES_MS])
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
            to_ms = units.up_to(connection, opened.epoch, 0, needed_ms)
            units.forget(connection, opened.epoch, to_ms)
        course.forgotten_ms = to_ms
        return to_ms < needed_ms


def _add(connection: Connection, cells: dict[str, Ints]) -> None:
    counters.add_totals(connection, {(what, NOBODY): [vector] for what, vector in cells.items()})
