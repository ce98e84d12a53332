"""What may become of a spec here: simulated futures of the traffic that was counted."""

from collections.abc import Callable, Sequence
from pathlib import Path

from penstock import installation
from penstock.errors import ConditionError
from penstock.registering import content
from penstock.rollouts import sound
from penstock.settings import Settings
from rollout import planning, rates, recorded
from rollout.planning import Ask, Plan
from rollout.rates import Rates
from rollout.scenarios import effect
from streams import registry
from streams.db.engine import connect, reading
from streams.pipeline import LATENESS_MS


def plan(
    settings: Settings,
    path: Path,
    *,
    requests_a_day: float | None,
    stated: Path | None,
    effects: Sequence[str],
    futures: int,
    seed: int,
    tell: Callable[[float], None],
) -> Plan:
    """The plan of the spec in the file, at the champion's pace of the last week or a given one.

    Args:
        stated: a file of rates, instead of those that were recorded.
        effects: NAME=CHANGE of a scenario of its own.
        tell: is given the share of the futures that are done.

    Raises InputError for a spec with errors, and rates or effects that say nothing; ConditionError
    where no pace is known.
    """
    installation.require_head(settings)
    engine = connect(settings.database, connections=1, name="penstock cli")
    try:
        declared = sound(engine, content(path), name=str(path))
        spec, now_ms = declared.spec, installation.read_clock(settings).domain_ms()
        shifts = dict(effect(text, spec) for text in effects)
        said = rates.read(content(stated), spec, name=str(stated)) if stated else Rates()
        with reading(engine) as connection:
            declaration, _ = registry.show(connection, spec.model)
            pace = requests_a_day or recorded.answers_a_day(connection, spec, now_ms=now_ms)
            known = recorded.rates(connection, spec, now_ms=now_ms)
    finally:
        engine.dispose()
    if not pace:
        raise ConditionError(
            f"version {spec.champion.version!r} gave no live answer in the last week",
            fix="say --requests-a-day, or send its answers first",
        )
    ask = Ask(
        declared=declared, declaration=declaration, stated=said, recorded=known,
        requests_a_day=pace, from_ms=now_ms, lateness_ms=LATENESS_MS, effects=shifts,
        futures=futures, seed=seed,
    )  # fmt: skip
    return planning.plan(ask, tell=tell)
