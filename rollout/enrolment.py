"""When sticky units may still join an epoch, and when a weight may grow: rule 10 of the statistics.

An epoch enrols; once everything else speaks for an advance, enrolment ends and whoever was enrolled
is followed up for the whole exposure, under the same assignment; only then does the weight grow. So
every enrolled unit counts. Evidence that has changed its mind by then lets enrolment go on.
"""

from msgspec.structs import replace
from sqlalchemy import Connection, Engine

from rollout import controller
from rollout.cells import PLAN, Enrolled, Opened, decoded, encoded
from rollout.scenes import Facts
from rollout.signals import grows
from rollout.store import Standing
from rollout.unit_values import exposure_ms
from streams import plans
from streams.db.engine import reading, writing


def followed_up(engine: Engine, standing: Standing, known: Facts, *, now_ms: int) -> Facts:
    """What is known, and whether units are followed up; ends or resumes enrolment where it is due.

    Args:
        now_ms: domain time.
    """
    with reading(engine) as connection:
        opened, ended = _enrolling(connection, standing)
    if opened is None:
        return known
    if ended is not None and now_ms < ended.until_ms + exposure_ms(opened):
        return replace(known, following_up=True)
    wants = grows(controller.scene(standing, known, now_ms=now_ms))
    if wants and ended is None:
        _say(engine, Enrolled(rollout=standing.name, epoch=opened.epoch, until_ms=now_ms), now_ms)
        return replace(known, following_up=True)
    if ended is not None and not wants:
        _say(engine, replace(ended, again_ms=now_ms), now_ms)
    return known


def follows_up(connection: Connection, standing: Standing, *, now_ms: int) -> bool:
    """Whether units are followed up now, and no weight grows."""
    opened, ended = _enrolling(connection, standing)
    if opened is None or ended is None:
        return False
    return now_ms < ended.until_ms + exposure_ms(opened)


def _enrolling(connection: Connection, standing: Standing) -> tuple[Opened | None, Enrolled | None]:
    """The epoch under way if it has sticky units, and the plan that ended their enrolment."""
    if not standing.declared.spec.assignment.sticky or standing.state.published is None:
        return None, None
    opened, ended = None, None
    for plan in plans.read(connection):
        if plan.kind != PLAN or plan.id != standing.name:
            continue
        body = decoded(plan.body)
        if body.epoch != standing.state.published.epoch:
            continue
        if isinstance(body, Opened):
            opened = body
        elif isinstance(body, Enrolled):
            ended = body if body.again_ms is None else None
    return (opened if opened and opened.owned else None), ended


def _say(engine: Engine, body: Enrolled, now_ms: int) -> None:
    with writing(engine) as connection:
        plans.append(
            connection, kind=PLAN, id=body.rollout, body=encoded(body), from_ms=body.until_ms,
            now_ms=now_ms, by="rollout",
        )  # fmt: skip
