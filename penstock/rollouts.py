"""Rollouts for the command line and the web: look, edit and decide, with the database alone.

No other process is asked and no log is opened, so that a way back needs nothing but the store.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct
from sqlalchemy import Connection, Engine

from penstock.deciding import Wish, carry_out
from penstock.installation import read_clock, require_head, require_log
from penstock.rollout_details import Detail, detail
from penstock.rollout_views import View, view
from penstock.settings import Settings
from rollout import editing, kept, readers, reviewing, routes, store
from rollout.acting import committed
from rollout.decisions import Person
from rollout.editing import Edit
from rollout.kept import Kept
from rollout.lint import lint
from rollout.readers import Heard
from rollout.spec import Rollout, read
from rollout.store import Standing, Summary
from streams import registry
from streams.db.clock import Clock
from streams.db.engine import connect, reading, writing
from streams.errors import InputError

Permit = Callable[[str], None]
"""Raises an error for a model that the caller may not decide about."""


def any_model(_model: str) -> None:
    """Nothing is refused."""


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


def create(here: Store, text: bytes, *, name: str, who: Person, may: Permit = any_model) -> View:
    """The spec `text`, called `name` in errors, is a draft.

    Raises InputError for what lint calls an error.
    """
    declared = sound(here.engine, text, name=name, may=may)
    with writing(here.engine) as connection:
        editing.create(connection, declared, who=who, now_ms=here.clock.domain_ms())
    return view(here.standing(declared.metadata.name))


def edit(
    here: Store,
    text: bytes,
    *,
    name: str,
    who: Person,
    of: str | None = None,
    ready: Callable[[Connection], None] = lambda _: None,
) -> Edit:
    """The spec is a revision of its rollout, and holds or waits for a second person.

    Args:
        of: the rollout that it must name; None: whichever it does.
        ready: raises an error where the rollout is not as the caller has seen it.
    """
    declared = sound(here.engine, text, name=name)
    if of not in (None, declared.metadata.name):
        raise InputError(
            f"{name}: metadata.name is {declared.metadata.name!r}, and it is to be of {of!r}",
            field="metadata.name",
            fix=f"name: {of}",
        )
    with writing(here.engine) as connection:
        ready(connection)
        return editing.edit(
            connection, declared, who=who, now_ms=here.clock.domain_ms(),
            wall_ms=here.clock.wall_ms(),
        )  # fmt: skip


def listed(here: Store) -> list[Summary]:
    with reading(here.engine) as connection:
        return store.summaries(connection)


def decide(here: Store, wish: Wish) -> View:
    """Where the rollout stands once the wish is decided; see `penstock.deciding.carry_out`."""
    after = committed(
        here.engine,
        lambda connection: carry_out(connection, wish, clock=here.clock),
        goes_back=wish.goes_back,
    )
    return view(after)


def shown(here: Store, name: str) -> Detail:
    """Where the rollout stands now, with its newest look."""
    with reading(here.engine) as connection:
        return seen(connection, store.standing(connection, name), clock=here.clock)[0]


def seen(connection: Connection, standing: Standing, *, clock: Clock) -> tuple[Detail, Kept | None]:
    """What there is to show of it, and its newest look."""
    look = kept.newest(connection, standing.name)
    heard = _heard(connection, standing, now_ms=clock.wall_ms())
    asked = reviewing.counts(connection, standing)
    return detail(standing, look, heard, asked, now_ms=clock.domain_ms()), look


def _heard(connection: Connection, standing: Standing, *, now_ms: int) -> Heard | None:
    """How far its newest route table has come; None where it has none any more."""
    published = standing.state.published
    if published is None:
        return None
    table = routes.at_version(connection, standing.model, standing.route, published.route_version)
    if table is None:
        return None
    return readers.heard(connection, standing.model, standing.route, table.rank, now_ms=now_ms)


def sound(engine: Engine, text: bytes, *, name: str, may: Permit = any_model) -> Rollout:
    """The spec, which lint finds no error in, against what is registered here.

    Raises InputError, naming the first of them.
    """
    declared, _ = read(text, name=name)
    may(declared.spec.model)
    with reading(engine) as connection:
        model, versions = registry.show(connection, declared.spec.model)
    report = lint(text, name=name, model=model, versions=versions)
    errors = [each for each in report.findings if each.level == "error"]
    if errors:
        first = errors[0]
        raise InputError(
            f"{name}: {first.field}: {first.reason}",
            field=first.field,
            why=f"{len(errors)} errors in all" if len(errors) > 1 else "",
            fix=f"penstock rollout lint {name}",
            line=first.line,
        )
    return declared
