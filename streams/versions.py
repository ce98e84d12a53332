"""Versions of models: immutable once registered, observed when only events have named them.

What is found out about a version later, such as its parity, are reports beside it: append-only,
and the newest of a kind counts.
"""

import msgspec
from sqlalchemy import Connection, Row, func, insert, select

from streams import bundles, codes
from streams.bundles import Attestation, Bundle
from streams.errors import ConflictError, InputError
from streams.files import Stored
from streams.tables import code
from streams.tables import file as file_table
from streams.tables import version as version_table
from streams.tables import version_report as report_table
from streams.yamls import nearest

PARITY = "parity"
RESERVED = ("people", "rules")
"""Versions of every model that are not software and have no digest."""


class Body(msgspec.Struct, frozen=True):
    """What is kept of a version beside its digest."""

    files: tuple[Stored, ...] = ()
    description: str = ""
    attributes: dict[str, str] = {}
    bundle: Bundle = Bundle()

    def file(self, name: str) -> Stored:
        """The file of this name, which the bundle gives a part."""
        return next(file for file in self.files if file.name == name)


class Report(msgspec.Struct, frozen=True):
    """What was found out about a version; `body` is the finder's own JSON."""

    kind: str
    passed: bool
    body: bytes
    created_ms: int
    created_by: str


class Version(msgspec.Struct, frozen=True):
    """A version; one that only events have named has no digest and no creation time.

    `parity` is whether its newest check passed, None before the first.
    """

    model: str
    label: str
    no: int
    digest: str | None = None
    body: Body = Body()
    created_ms: int | None = None
    created_by: str = ""
    parity: bool | None = None

    @property
    def attestation(self) -> Attestation:
        """What it brings: none, lineage or full."""
        return bundles.attestation(self.body.bundle, digest=self.digest, parity=self.parity)

    def lacks(self, level: Attestation) -> list[str]:
        """What this level asks for that it does not bring."""
        return bundles.missing(self.body.bundle, digest=self.digest, parity=self.parity)[level]


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

    Its digest is over all that it brings (`bundles.identity`); `digest` is that of weights which
    stay elsewhere. Raises ConflictError when the label stands for another digest, InputError for
    a model that nobody declared or observed, or a file that is named and not there.
    """
    bundles.require_files(body.files, body.bundle)
    digest = bundles.identity(body.files, body.bundle, weights=digest)
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
    passed = _newest_parities(connection, model_no)
    return [
        _version(model, label, no, registered.get(no), parity=passed.get(no)) for no, label in seen
    ]


def one(connection: Connection, model: str, label: str) -> Version:
    """The version of this label; InputError when there is none."""
    known = {version.label: version for version in of_model(connection, model)}
    if label not in known:
        raise InputError(
            f"{model!r} has no version {label!r}", field="version", fix=nearest(label, known)
        )
    return known[label]


def add_report(
    connection: Connection, version: Version, *, kind: str, passed: bool, body: bytes, now_ms: int,
    by: str,
) -> None:  # fmt: skip
    """The report stands beside `version`, and is its newest of this kind."""
    connection.execute(
        insert(report_table).values(
            model_no=_model_no(connection, version.model),
            version_no=version.no,
            kind=kind,
            passed=int(passed),
            body=body,
            created_ms=now_ms,
            created_by=by,
        )
    )


def reports(connection: Connection, version: Version, *, kind: str) -> list[Report]:
    """What was found out about `version`, newest first."""
    rows = connection.execute(
        select(report_table)
        .where(
            report_table.c.model_no == _model_no(connection, version.model),
            report_table.c.version_no == version.no,
            report_table.c.kind == kind,
        )
        .order_by(report_table.c.id.desc())
    )
    return [Report(r.kind, bool(r.passed), r.body, r.created_ms, r.created_by) for r in rows]


def counts(connection: Connection) -> dict[int, int]:
    """How many versions each model number has, registered or observed."""
    rows = connection.execute(
        select(code.c.scope, func.count()).where(code.c.kind == "version").group_by(code.c.scope)
    )
    return {row[0]: row[1] for row in rows}


def _version(
    model: str, label: str, no: int, row: Row[tuple[object, ...]] | None, *, parity: bool | None
) -> Version:
    if row is None:
        return Version(model, label, no)
    body = msgspec.json.decode(row.body, type=Body)
    return Version(model, label, no, row.digest, body, row.created_ms, row.created_by, parity)


def _newest_parities(connection: Connection, model_no: int) -> dict[int, bool]:
    """Whether the newest check of each version passed, by the version's number."""
    rows = connection.execute(
        select(report_table.c.version_no, report_table.c.passed)
        .where(report_table.c.model_no == model_no, report_table.c.kind == PARITY)
        .order_by(report_table.c.id)
    )
    return {row.version_no: bool(row.passed) for row in rows}


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
