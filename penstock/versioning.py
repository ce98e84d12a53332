"""What is shown of a model's versions and thresholds, on the command line and over HTTP."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Engine

from penstock.installation import Installation
from streams import bundles, registry, versions
from streams.bundles import Attestation, Bundle
from streams.db.engine import reading, writing
from streams.errors import InputError
from streams.files import Stored
from streams.models import Declaration
from streams.versions import Version


class Shown(msgspec.Struct, frozen=True):
    """A version, what it attests, and what it lacks for the next level."""

    model: str
    label: str
    no: int
    digest: str | None
    attestation: Attestation
    lacks: list[str]
    parity: bool | None
    description: str
    files: tuple[Stored, ...]
    bundle: Bundle
    created_ms: int | None
    created_by: str


class Threshold(msgspec.Struct, frozen=True):
    """From which score on a scenario decides for the positive class."""

    scenario: str
    threshold: float


def listed(engine: Engine, model: str, *, after: int = 0, limit: int | None = None) -> list[Shown]:
    """Versions of `model` with numbers past `after`, in the order in which they were first seen."""
    with reading(engine) as connection:
        found = [v for v in versions.of_model(connection, model) if v.no > after]
    return [shown(version) for version in found[:limit]]


def shown(version: Version) -> Shown:
    """What a reader is shown of `version`."""
    body, level = version.body, version.attestation
    above = bundles.LEVELS[min(bundles.LEVELS.index(level) + 1, len(bundles.LEVELS) - 1)]
    return Shown(
        model=version.model,
        label=version.label,
        no=version.no,
        digest=version.digest,
        attestation=level,
        lacks=version.lacks(above),
        parity=version.parity,
        description=body.description,
        files=body.files,
        bundle=body.bundle,
        created_ms=version.created_ms,
        created_by=version.created_by,
    )


def difference(engine: Engine, model: str, before: str, after: str) -> list[dict[str, Any]]:
    """Each field in which version `after` differs from `before`: field, before, after."""
    with reading(engine) as connection:
        pair = [versions.one(connection, model, label) for label in (before, after)]
    return bundles.difference(*map(_plain, pair))


def thresholds(here: Installation, model: str, pairs: Sequence[str], *, by: str) -> list[Threshold]:
    """The thresholds of `model` once those of `pairs` (scenario=share) are declared."""
    given = dict(map(_pair, pairs))
    with writing(here.engine) as connection:
        revision = registry.newest(connection, model)
        if revision is None:
            raise InputError(
                f"nobody has declared {model!r}", field="model",
                fix="penstock model register -f model.yaml",
            )  # fmt: skip
        declared = revision.declaration
        if given:
            declared = _with(declared, given)
            registry.register(connection, declared, now_ms=here.now_ms(), by=by)
    return [Threshold(name, share) for name, share in sorted(declared.thresholds.items())]


def _with(declared: Declaration, given: dict[str, float]) -> Declaration:
    return msgspec.structs.replace(declared, thresholds=declared.thresholds | given)


def _pair(text: str) -> tuple[str, float]:
    name, _, share = text.rpartition("=")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not (0 <= value <= 1 and 1 <= len(name) <= 120):
        raise InputError(
            f"{text!r} is not a scenario and a share", field="threshold",
            fix="write it like default=0.7, from 0 to 1",
        )  # fmt: skip
    return name, value


def _plain(version: Version) -> dict[str, Any]:
    """Everything that two versions may differ in: files, makers, attestation."""
    said: dict[str, Any] = msgspec.to_builtins(version.body.bundle)
    return {
        "digest": version.digest,
        **said,
        "description": version.body.description,
        "files": {file.name: file.digest for file in version.body.files},
        "attestation": version.attestation,
        "parity": version.parity,
    }
