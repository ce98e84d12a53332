"""What a spec would have done with recorded traffic, and at what cost."""

from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from penstock import installation
from penstock.recorded import Read, from_files, from_log
from penstock.registering import content
from penstock.rollout_views import Line, line
from penstock.rollouts import sound
from penstock.settings import Settings
from penstock.trial import Traffic, Trial, trial
from rollout.costs import Cost
from rollout.courses import Kind
from rollout.decisions import Judged
from rollout.spec import Rollout
from streams import registry
from streams.db.engine import reading
from streams.errors import InputError
from streams.events import AnyEvent
from streams.models import DAY_MS, Declaration, duration_ms
from streams.pipeline import LATENESS_MS

STEP_MS = 600_000
"""The judge looks every ten minutes of the events' time: a month of looks takes some minutes."""


class Backtest(Struct, frozen=True, kw_only=True):
    """What the rollout would have done.

    Args:
        stage: where it stood when the events ended.
        verdicts: of the last look.
        costs: errors of three policies among the requests whose truth is known.
        bad: lines that could not be read; `first_bad` says which was the first, and why.
    """

    rollout: str
    stage: Kind
    traffic: Traffic
    decisions: list[Line]
    verdicts: list[Judged]
    costs: list[Cost]
    bad: int
    first_bad: str


def backtest(
    settings: Settings,
    spec: Path,
    *,
    days: float,
    events: list[Path],
    tell: Callable[[float, list[Line]], None],
) -> Backtest:
    """Tries the spec in the file on the last days of this installation's log, or on `events`.

    Args:
        tell: is given the share that is read, and what was decided since it was last told.

    Raises InputError for a spec with errors, and for traffic on which it could not start.
    """
    read = Read()
    with installation.opened(settings) as here:
        declared = sound(here.engine, content(spec), name=str(spec))
        with reading(here.engine) as connection:
            declaration, _ = registry.show(connection, declared.spec.model)
        model = declaration.model
        since_ms = here.now_ms() - int(days * DAY_MS)
        found = (
            from_files(events, model=model, read=read)
            if events
            else from_log(here.log, model=model, since_ms=since_ms, read=read)
        )
        return played(declaration, declared, found, read=read, tell=tell)


def played(
    declaration: Declaration,
    declared: Rollout,
    events: Iterable[AnyEvent],
    *,
    read: Read,
    tell: Callable[[float, list[Line]], None],
) -> Backtest:
    """The trial of a rollout on these events, in a store of its own."""
    delay_ms = duration_ms(declaration.pair_horizon) + LATENESS_MS
    with trial(declaration, declared, delay_ms=delay_ms) as on_trial:
        done_ms = 0
        for event in events:
            on_trial.put(event)
            if on_trial.settled_ms < on_trial.oldest_ms:
                continue
            done_ms = done_ms or on_trial.oldest_ms // STEP_MS * STEP_MS
            while on_trial.settled_ms >= done_ms + STEP_MS:
                done_ms += STEP_MS
                made = on_trial.play(before_ms=done_ms)
                tell(read.done / max(read.total, 1), [line(each) for each in made])
        if not on_trial.newest_ms:
            raise InputError(
                f"no event of model {declaration.model!r} was found",
                field="--events",
                fix="give files of its events, or more --days",
            )
        made = on_trial.play(before_ms=on_trial.newest_ms + 1)
        tell(1.0, [line(each) for each in made])
        return _told(on_trial, read)


def _told(on_trial: Trial, read: Read) -> Backtest:
    standing, look = on_trial.standing, on_trial.look()
    days = max(1, on_trial.newest_ms - on_trial.oldest_ms) / DAY_MS
    return Backtest(
        rollout=standing.name,
        stage=standing.state.place.kind,
        traffic=on_trial.traffic(),
        decisions=[line(each) for each in standing.decisions],
        verdicts=list(look.record.judged) if look else [],
        costs=on_trial.costs.told(days=days),
        bad=read.bad,
        first_bad=read.first_bad,
    )
