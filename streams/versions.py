"""Versions of models: immutable once registered, observed when only events have named them."""

import hashlib

import msgspec
from sqlalchemy import Connection, func, insert, select

from streams import codes
from streams.errors import ConflictError, InputError
from streams.files import Stored
from streams.tables import code
from streams.tables import file as file_table
from streams.tables import version as version_table

RESERVED = ("people", "rules")
"""Versions of every model that are not software and have no digest."""


class Body(msgspec.Struct, frozen=True):
    """What is kept of a version beside its digest."""

    files: tuple[Stored, ...] = ()
    description: str = ""
    attributes: dict[str, str] = {}


class Version(msgspec.Struct, frozen=True):
    """A version; one that only events have named has no digest and no creation time."""

    model: str
    label: str
    no: int
    digest: str | None = None
    body: Body = Body()
    created_ms: int | None = None
    created_by: str = ""


def add_version(
    connection: Connection,
    model: str,
    label: str,
    *,
    digest: str | None = None,
    body: Body,
    now_ms: int,
    by: str,
) -> Version:
    """The version is registered; the same again changes nothing.

    Its digest is the given one, else that of its files. Raises ConflictError when the label
    stands for another digest, InputError for a model that nobody declared or observed.
    """
    digest = digest or digest_of(body.files)
    model_no = _model_no(connection, model)
    if label in RESERVED and digest is not None:
        raise InputError(f"{label!r} is reserved and has no digest", field="label", rule="reserved")
    standing = {v.label: v for v in of_model(connection, model)}.get(label)
    if standing is not None and standing.created_ms is not None:
        if standing.digest != digest:
            raise ConflictError(
                f"version {label!r} of {model!r} has digest {_short(standing.digest)},"
                f" not {_short(digest)}",
                why="a version is immutable: evidence names it by its label",
                fix="register the new content under a new label",
            )
        return standing
    numbers = codes.resolve(connection, "version", model_no, [label])
    if label not in numbers:
        raise InputError(
            f"{model!r} has {codes.CAPS['version']} versions already", field="label", rule="cap"
        )
    version = Version(model, label, numbers[label], digest, body, now_ms, by)
    _insert(connection, model_no, version)
    return version


def of_model(connection: Connection, model: str) -> list[Version]:
    """Every version of `model` in the order in which they were first seen."""
    model_no = _model_no(connection, model)
    seen = connection.execute(
        select(code.c.no, code.c.name)
        .where(code.c.kind == "version", code.c.scope == model_no)
        .order_by(code.c.no)
    )
    rows = connection.execute(select(version_table).where(version_table.c.model_no == model_no))
    registered = {row.version_no: row for row in rows}
    found = []
    for no, label in seen:
        row = registered.get(no)
        if row is None:
            found.append(Version(model, label, no))
            continue
        body = msgspec.json.decode(row.body, type=Body)
        found.append(Version(model, label, no, row.digest, body, row.created_ms, row.created_by))
    return found


def counts(connection: Connection) -> dict[int, int]:
    """How many versions each model number has, registered or observed."""
    rows = connection.execute(
        select(code.c.scope, func.count()).where(code.c.kind == "version").group_by(code.c.scope)
    )
    return {row[0]: row[1] for row in rows}


def digest_of(files: tuple[Stored, ...]) -> str | None:
    """One file's own sha256; of several, the sha256 of their sorted `digest  name` lines."""
    if len(files) <= 1:
        return files[0].digest if files else None
    lines = sorted(f"{file.digest}  {file.name}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _insert(connection: Connection, model_no: int, version: Version) -> None:
    connection.execute(
        insert(version_table).values(
            model_no=model_no,
            version_no=version.no,
            label=version.label,
            digest=version.digest,
            body=msgspec.json.encode(version.body),
            created_ms=version.created_ms,
            created_by=version.created_by,
        )
    )
    for file in version.body.files:
        known = select(file_table.c.digest).where(file_table.c.digest == file.digest)
        if connection.execute(known).first() is None:
            connection.execute(
                insert(file_table).values(
                    digest=file.digest,
                    name=file.name,
                    bytes=file.bytes,
                    created_ms=version.created_ms,
                )
            )


def _model_no(connection: Connection, model: str) -> int:
    row = connection.execute(
        select(code.c.no).where(code.c.kind == "model", code.c.name == model)
    ).first()
    if row is None:
        raise InputError(
            f"there is no model {model!r}",
            field="model",
            fix="penstock model register -f model.yaml declares it",
        )
    return int(row.no)


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]
