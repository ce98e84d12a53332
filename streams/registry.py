"""Models: what their owners declared, and those that only events have named.

A declaration is a plan of kind `model`, so it is append-only and every ledger row was counted
under the one that held at its time.
"""

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, func, select

from streams import codes, models, plans, versions, yamls
from streams.errors import InputError
from streams.models import Declaration, Slice, Term
from streams.tables import code
from streams.tables import plan as plan_table

NOTICE_MS = 2_000
"""A revision begins this much later than it is stored, so that every worker has read it by then."""

_FLAGS = {"true": True, "false": False}


class Revision(msgspec.Struct, frozen=True):
    """A declaration as it was registered; `is_new` is false when it stood already."""

    seq: int
    from_ms: int
    created_ms: int
    created_by: str
    declaration: Declaration
    is_new: bool = True


class ModelSummary(msgspec.Struct, frozen=True):
    """One line of the list of models."""

    model: str
    task: str
    owner: str
    revisions: int
    versions: int


def read_declaration(text: bytes, *, name: str = "file") -> Declaration:
    """A checked declaration from YAML or JSON; errors name line and field."""
    declaration = yamls.read(text, Declaration, name=name)
    if text.lstrip()[:1] != b"{":
        declaration = _typed(declaration, name)
    return models.checked(declaration)


def register(connection: Connection, declaration: Declaration, *, now_ms: int, by: str) -> Revision:
    """`declaration` is the model's newest revision; registering it again changes nothing.

    The first one holds for all time if no event has named the model yet. `now_ms` is domain
    time. Raises InputError when a slice of the newest revision would change its slot.
    """
    models.checked(declaration)
    known = newest(connection, declaration.model)
    if known is not None:
        if known.declaration == declaration:
            return msgspec.structs.replace(known, is_new=False)
        models.slices_kept(known.declaration, declaration)
    is_seen = bool(_numbers(connection, declaration.model))
    if not codes.resolve(connection, "model", 0, [declaration.model]):
        raise InputError(
            f"{declaration.model!r} cannot be registered: there are {codes.CAPS['model']} models",
            field="model",
            rule="cap",
        )
    from_ms = now_ms + NOTICE_MS if is_seen else 0
    seq = plans.append(
        connection,
        kind=plans.MODEL,
        id=declaration.model,
        body=msgspec.json.encode(declaration),
        from_ms=from_ms,
        now_ms=now_ms,
        by=by,
    )
    return Revision(seq, from_ms, now_ms, by, declaration)


def newest(connection: Connection, model: str) -> Revision | None:
    """The newest revision of `model`, or None when nobody declared it."""
    plan = plans.latest(connection, plans.MODEL, model)
    if plan is None:
        return None
    declaration = msgspec.json.decode(plan.body, type=Declaration)
    return Revision(plan.seq, plan.from_ms, plan.created_ms, plan.created_by, declaration)


def show(connection: Connection, model: str) -> tuple[Declaration, list[versions.Version]]:
    """How `model` is declared or observed, and its versions, those only seen in events too."""
    revision = newest(connection, model)
    if revision is None and not _numbers(connection, model):
        raise InputError(
            f"there is no model {model!r}",
            field="model",
            fix="penstock model list names those that are declared or observed",
        )
    declaration = models.observed(model) if revision is None else revision.declaration
    return declaration, versions.of_model(connection, model)


def summaries(connection: Connection) -> list[ModelSummary]:
    """Every model, declared or observed, by name."""
    rows = connection.execute(
        select(plan_table.c.id, func.count())
        .where(plan_table.c.kind == plans.MODEL)
        .group_by(plan_table.c.id)
    )
    revisions: dict[str, int] = {row[0]: row[1] for row in rows}
    counts = versions.counts(connection)
    found = []
    for name, no in sorted(_numbers(connection).items()):
        revision = newest(connection, name) if name in revisions else None
        declared = models.observed(name) if revision is None else revision.declaration
        found.append(
            ModelSummary(
                name, declared.task, declared.owner, revisions.get(name, 0), counts.get(no, 0)
            )
        )
    return found


def longest_horizon_ms(connection: Connection) -> int:
    """The longest that any model's newest declaration waits for a label; 0 without one."""
    newest_seqs = (
        select(func.max(plan_table.c.seq))
        .where(plan_table.c.kind == plans.MODEL)
        .group_by(plan_table.c.id)
    )
    bodies = connection.execute(select(plan_table.c.body).where(plan_table.c.seq.in_(newest_seqs)))
    return max(
        (msgspec.json.decode(row.body, type=Declaration).longest_horizon_ms() for row in bodies),
        default=0,
    )


def _numbers(connection: Connection, model: str | None = None) -> dict[str, int]:
    query = select(code.c.name, code.c.no).where(code.c.kind == "model")
    if model is not None:
        query = query.where(code.c.name == model)
    return {row.name: row.no for row in connection.execute(query)}


def _typed(declaration: Declaration, name: str) -> Declaration:
    """Terms about features compare with the feature's type: YAML gave them as text."""
    slices = []
    for i, part in enumerate(declaration.slices):
        terms = [
            _typed_term(term, declaration, f"slices[{i}].where[{k}].is", name)
            for k, term in enumerate(part.where)
        ]
        slices.append(Slice(name=part.name, where=tuple(terms), protected=part.protected))
    return msgspec.structs.replace(declaration, slices=tuple(slices))


def _typed_term(term: Term, declaration: Declaration, field: str, name: str) -> Term:
    text = term.equals
    if term.feature is None or not isinstance(text, str):
        return term
    feature = declaration.features.get(term.feature)
    if feature is None:
        if _number(text) is None and text not in _FLAGS:
            return term
        raise InputError(
            f"{name}: {field}: {text!r} may be text or not: feature {term.feature!r} has no type",
            field=field,
            rule="declared type",
            fix=f"declare features.{term.feature}.type as number, boolean or category",
        )
    value = _READ[feature.type](text)
    if value is None:
        raise InputError(
            f"{name}: {field}: {text!r} is not a {feature.type}, as feature {term.feature!r} is",
            field=field,
            rule=feature.type,
        )
    return msgspec.structs.replace(term, equals=value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


_READ: dict[str, Callable[[str], str | float | bool | None]] = {
    "number": _number,
    "boolean": _FLAGS.get,
    "category": str,
}
