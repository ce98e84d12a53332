"""Rollouts for the command line: look, edit and decide, with the database alone.

No other process is asked and no log is opened, so that a way back needs nothing but the store.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from sqlalchemy import Engine

from penstock.errors import ConditionError
from penstock.installation import read_clock, require_head, require_log
from penstock.registering import content
from penstock.rollout_views import View, view
from penstock.settings import Settings
from rollout import editing, store
from rollout.acting import Ask, decide
from rollout.courses import Kind
from rollout.decisions import Person
from rollout.editing import Edit
from rollout.freezes import frozen_until
from rollout.lint import lint
from rollout.spec import Rollout, read
from rollout.stages import Signal
from rollout.store import Standing, Summary
from streams import registry
from streams.db.clock import Clock
from streams.db.engine import connect, reading, writing
from streams.errors import InputError


class Store(Struct, frozen=True):
    """Where rollouts are, and the clocks that they go by."""

    engine: Engine
    clock: Clock

    def standing(self, name: str) -> Standing:
        with reading(self.engine) as connection:
            return store.standing(connection, name)


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The installation's database; what is committed survives a power cut."""
    require_log(settings)
    require_head(settings)
    engine = connect(settings.database, durable=True, connections=1, name="penstock cli")
    try:
        yield Store(engine, read_clock(settings))
    finally:
        engine.dispose()


def create(here: Store, path: Path, *, who: Person) -> View:
    """The spec in `path` is a draft. Raises InputError for what lint calls an error."""
    declared = _sound(here, path)
    with writing(here.engine) as connection:
        editing.create(connection, declared, who=who, now_ms=here.clock.domain_ms())
    return view(here.standing(declared.metadata.name))


def edit(here: Store, path: Path, *, who: Person) -> Edit:
    """The spec in `path` is a revision of its rollout, and holds or waits for a second person."""
    declared = _sound(here, path)
    with writing(here.engine) as connection:
        return editing.edit(
            connection, declared, who=who, now_ms=here.clock.domain_ms(),
            wall_ms=here.clock.wall_ms(),
        )  # fmt: skip


def confirm(here: Store, name: str, revision: int, *, who: Person) -> View:
    """The revision that waited holds; `who` is the second person."""
    with writing(here.engine) as connection:
        editing.confirm(
            connection, name, revision, who=who, now_ms=here.clock.domain_ms(),
            wall_ms=here.clock.wall_ms(),
        )  # fmt: skip
    return view(here.standing(name))


def listed(here: Store) -> list[Summary]:
    with reading(here.engine) as connection:
        return store.summaries(connection)


def start(here: Store, seen: Standing, *, who: Person, in_freeze: bool) -> View:
    """The rollout is in its first stage, whether it was a draft or planned."""
    _not_frozen(here, seen, in_freeze=in_freeze)
    if seen.state.place.kind is Kind.DRAFT:
        seen = _decided(here, seen, Signal.PLAN, who=who)
    return view(_decided(here, seen, Signal.START, who=who))


def promote(here: Store, seen: Standing, *, who: Person, in_freeze: bool) -> View:
    """The rollout is a step further, whatever its metrics say: a person answers for that."""
    if seen.state.place.kind in (Kind.DRAFT, Kind.PLANNED):
        raise ConditionError(
            f"{seen.name} has not begun", fix=f"penstock rollout start {seen.name}"
        )
    _not_frozen(here, seen, in_freeze=in_freeze)
    ends = seen.state.place.kind is Kind.PROBATION
    return view(_decided(here, seen, Signal.FINISH if ends else Signal.ADVANCE, who=who))


def act(
    here: Store, seen: Standing, signal: Signal, *, who: Person, arm: str | None = None
) -> View:
    """The rollout after `signal`, unless somebody decided since `seen`."""
    return view(_decided(here, seen, signal, who=who, arm=arm))


def _sound(here: Store, path: Path) -> Rollout:
    """The spec in `path`, which lint finds no error in, against what is registered here."""
    text = content(path)
    declared, _ = read(text, name=path.name)
    with reading(here.engine) as connection:
        model, versions = registry.show(connection, declared.spec.model)
    report = lint(text, name=path.name, model=model, versions=versions)
    errors = [each for each in report.findings if each.level == "error"]
    if errors:
        first = errors[0]
        raise InputError(
            f"{path.name}: {first.field}: {first.reason}",
            field=first.field,
            why=f"{len(errors)} errors in all" if len(errors) > 1 else "",
            fix=f"penstock rollout lint {path}",
            line=first.line,
        )
    return declared


def _decided(
    here: Store, seen: Standing, signal: Signal, *, who: Person, arm: str | None = None
) -> Standing:
    ask = Ask(rollout=seen.name, signal=signal, cause=who, arm=arm, seen_seq=seen.state.seq)
    decide(here.engine, ask, now_ms=here.clock.domain_ms(), wall_ms=here.clock.wall_ms())
    return here.standing(seen.name)


def _not_frozen(here: Store, seen: Standing, *, in_freeze: bool) -> None:
    until_ms = frozen_until(seen.declared.spec.freeze, here.clock.domain_ms())
    if until_ms is not None and not in_freeze:
        from_now_h = (until_ms - here.clock.domain_ms()) / 3_600_000
        raise ConditionError(
            f"{seen.name} is in a freeze for {from_now_h:.1f} h more",
            why="its spec says that nothing advances now",
            fix="wait, or say --in-freeze and a reason that names why it cannot",
        )
