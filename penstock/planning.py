"""How long a spec will take here, by the traffic that this installation has counted."""

from pathlib import Path

from penstock import installation
from penstock.errors import ConditionError
from penstock.registering import content
from penstock.rollouts import sound
from penstock.settings import Settings
from rollout import planning, recorded
from rollout.planning import Plan
from streams.db.engine import connect, reading


def plan(settings: Settings, path: Path, *, requests_a_day: float | None) -> Plan:
    """The plan of the spec in the file, at the champion's pace of the last week or a given one.

    Raises InputError for a spec with errors; ConditionError where no pace is known.
    """
    installation.require_head(settings)
    engine = connect(settings.database, connections=1, name="penstock cli")
    try:
        declared = sound(engine, content(path), name=str(path))
        spec, now_ms = declared.spec, installation.read_clock(settings).domain_ms()
        with reading(engine) as connection:
            pace = requests_a_day or recorded.answers_a_day(connection, spec, now_ms=now_ms)
            figures = recorded.figures(connection, spec, now_ms=now_ms)
            disagree = recorded.disagreement(connection, spec, now_ms=now_ms)
    finally:
        engine.dispose()
    if not pace:
        raise ConditionError(
            f"version {spec.champion.version!r} gave no live answer in the last week",
            fix="say --requests-a-day, or send its answers first",
        )
    return planning.plan(
        declared.metadata.name, spec, requests_a_day=pace, figures=figures, disagree=disagree
    )
