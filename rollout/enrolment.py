"""When sticky units may still join an epoch, and when a weight may grow: rule 10 of the statistics.

An epoch enrols; once everything else speaks for an advance, enrolment ends and whoever was enrolled
is followed up for the whole exposure, under the same assignment; only then does the weight grow. So
every enrolled unit counts. Evidence that has changed its mind by then lets enrolment go on.
"""

from msgspec.structs import replace
from sqlalchemy import Connection, Engine

from rollout import controller, stages
from rollout.cells import PLAN, Enrolled, Opened, decoded, encoded
from rollout.courses import weight
from rollout.scenes import Facts
from rollout.signals import due
from rollout.stages import Signal
from rollout.store import Standing
from rollout.unit_values import span_ms
from streams import plans
from streams.db.engine import reading, writing


def followed_up(engine: Engine, standing: Standing, known: Facts, *, now_ms: int) -> Facts:
    """What is known, and whether units are followed up; ends or resumes enrolment where it is due.

    Args:
        now_ms: domain time.
    """
    published = standing.state.published
    if not standing.declared.spec.assignment.sticky:
        return known
    with reading(engine) as connection:
        opened, gaps = _enrolling(connection, standing.name)
    if opened is None or published is None or published.epoch != opened.epoch:
        return known
    wants = _grows(standing, known, now_ms=now_ms)
    last = gaps[-1] if gaps else None
    if last is None or last.again_ms is not None:
        if not wants:
            return known
        _say(engine, Enrolled(rollout=standing.name, epoch=opened.epoch, until_ms=now_ms), now_ms)
        return replace(known, following_up=True)
    if now_ms < last.until_ms + exposure_ms(opened):
        return replace(known, following_up=True)
    if not wants:
        _say(engine, replace(last, again_ms=now_ms), now_ms)
    return known


def exposure_ms(opened: Opened) -> int:
    """For how long the last enrolled unit is followed up: by the metric that does so longest."""
    grain = opened.grain_ms
    return max((span_ms(own, grain, 1)[1] for own in opened.owned.values()), default=0)


def _grows(standing: Standing, known: Facts, *, now_ms: int) -> bool:
    """Whether an advance is due now, and gives a challenger more units than it has."""
    call = due(controller.scene(standing, known, now_ms=now_ms))
    if call is None or call.signal is not Signal.ADVANCE:
        return False
    place, course = standing.state.place, standing.course
    after = stages.advance(course, place, Signal.ADVANCE)
    return weight(course, after) > weight(course, place) > 0


def _enrolling(connection: Connection, rollout: str) -> tuple[Opened | None, list[Enrolled]]:
    """The newest epoch if it has sticky units, and when it ended and resumed their enrolment."""
    opened, gaps = None, list[Enrolled]()
    for plan in plans.read(connection):
        if plan.kind != PLAN or plan.id != rollout:
            continue
        body = decoded(plan.body)
        if isinstance(body, Opened):
            opened, gaps = body, []
        elif isinstance(body, Enrolled) and opened and body.epoch == opened.epoch:
            gaps.append(body)
    return (opened if opened and opened.owned else None), gaps


def _say(engine: Engine, body: Enrolled, now_ms: int) -> None:
    with writing(engine) as connection:
        plans.append(
            connection, kind=PLAN, id=body.rollout, body=encoded(body), from_ms=body.until_ms,
            now_ms=now_ms, by="rollout",
        )  # fmt: skip
