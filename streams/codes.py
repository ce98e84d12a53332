"""Small numbers for names, given in a short transaction of their own before a batch.

A number, once given, is for ever. Kinds and their scope: `model`, `arm`, `route`, `source`,
`feedback` (scope 0); `version` and `label` (scope: the model's number).
"""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, Engine, func, select
from sqlalchemy.dialects import postgresql, sqlite

from streams.db.engine import reading, writing
from streams.tables import code as code_table

CAPS = {"model": 1_000, "version": 10_000, "label": 10_000, "route": 10_000, "arm": 10_000,
        "source": 1_000, "feedback": 1_000}  # fmt: skip
OTHER = 10_001  # the number of every label past the cap
BUILT_IN_SOURCES = {"outcome": 1, "audit": 2}

Wanted = set[tuple[str, int, str]]  # (kind, scope, name)


class Codes:
    """The numbers this process knows; they never change, so they are kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        self._full: set[tuple[str, int]] = set()
        with reading(engine) as connection:
            self._load(connection)

    def of(self, kind: str, scope: int = 0) -> dict[str, int]:
        """Name to number, of what is known; callers only read it."""
        return self._known[kind, scope]

    def ensure(self, wanted: Wanted) -> None:
        """Every wanted name has a number, unless its cap is reached (then it has none)."""
        missing = {
            (kind, scope, name)
            for kind, scope, name in wanted
            if name not in self._known[kind, scope] and (kind, scope) not in self._full
        }
        if not missing:
            return
        given = {}
        with writing(self._engine) as connection:
            # Sorted: two workers that give numbers at once wait for each other, never in a ring.
            for (kind, scope), names in sorted(_by_kind(missing).items()):
                given[kind, scope] = resolve(connection, kind, scope, names)
                if len(given[kind, scope]) < len(names):
                    self._full.add((kind, scope))
        for place, numbers in given.items():  # known only now that they are stored
            self._known[place].update(numbers)

    def _load(self, connection: Connection) -> None:
        for row in connection.execute(select(code_table)):
            self._known[row.kind, row.scope][row.name] = row.no


def resolve(connection: Connection, kind: str, scope: int, names: Iterable[str]) -> dict[str, int]:
    """Numbers for `names`, given now where they had none; names past the cap are left out.

    Numbers follow the order of the names, so that replaying a log gives the same ones.
    """
    table = code_table.c
    here = (table.kind == kind) & (table.scope == scope)
    wanted = sorted(set(names))
    known = _numbers(connection, here, wanted)
    highest = func.coalesce(func.max(table.no), 0)
    for name in wanted:
        while name not in known:  # again when another process took the number first
            no = connection.execute(select(highest).where(here)).scalar_one() + 1
            if no > CAPS[kind]:
                return known
            _give(connection, kind, scope, name, no)
            known.update(_numbers(connection, here, [name]))
    return known


def _give(connection: Connection, kind: str, scope: int, name: str, no: int) -> None:
    """`name` has a number; another process may have given it one, or taken this one, first."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values = {"kind": kind, "scope": scope, "name": name, "no": no}
    connection.execute(dialect.insert(code_table).values(values).on_conflict_do_nothing())


def _numbers(connection: Connection, here: ColumnElement[bool], names: list[str]) -> dict[str, int]:
    rows = connection.execute(
        select(code_table.c.name, code_table.c.no).where(here, code_table.c.name.in_(names))
    )
    return {row.name: row.no for row in rows}


def _by_kind(wanted: Wanted) -> dict[tuple[str, int], list[str]]:
    grouped: dict[tuple[str, int], list[str]] = defaultdict(list)
    for kind, scope, name in wanted:
        grouped[kind, scope].append(name)
    return grouped


def names(connection: Connection, kind: str, scope: int = 0) -> dict[int, str]:
    """Number to name, as stored now."""
    table = code_table.c
    rows = connection.execute(
        select(table.no, table.name).where(table.kind == kind, table.scope == scope)
    )
    return {row.no: row.name for row in rows}
