"""Declaring models and versions from files, for the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.installation import Installation
from streams import bundles, files, registry, versions
from streams.bundles import Bundle
from streams.db.engine import reading, writing
from streams.errors import InputError


def register(here: Installation, path: Path, *, by: str) -> dict[str, Any]:
    """What stands after the declaration in `path` was registered."""
    declaration = registry.read_declaration(content(path), name=path.name)
    with writing(here.engine) as connection:
        revision = registry.register(connection, declaration, now_ms=here.now_ms(), by=by)
    return {
        "model": declaration.model,
        "is_new": revision.is_new,
        "revision": revision.seq,
        "from_ms": revision.from_ms,
        "created_ms": revision.created_ms,
        "created_by": revision.created_by,
    }


def summaries(here: Installation) -> list[registry.ModelSummary]:
    """Every model, declared or observed."""
    with reading(here.engine) as connection:
        return registry.summaries(connection)


def show(here: Installation, model: str) -> dict[str, Any]:
    """A model's declaration, and its versions under `versions`."""
    with reading(here.engine) as connection:
        declaration, found = registry.show(connection, model)
    shown: dict[str, Any] = msgspec.to_builtins(declaration)
    shown["versions"] = msgspec.to_builtins(found)
    return shown


def add_version(
    here: Installation,
    model: str,
    label: str,
    paths: Sequence[Path],
    *,
    bundle: Path | None = None,
    digest: str | None,
    description: str,
    by: str,
) -> versions.Version:
    """The version is registered, and its files are in the store before it is.

    A `bundle` describes it; the files that it names stand in the bundle's folder.
    """
    if digest is not None:
        files.path_of(here.settings.files_dir, digest)
    said = Bundle() if bundle is None else bundles.read_bundle(content(bundle), name=bundle.name)
    paths = [*paths, *_beside(bundle, said, {path.name for path in paths})]
    if len({path.name for path in paths}) != len(paths):
        raise InputError("two files share a name", field="files", rule="distinct")
    stored = tuple(files.store(here.settings.files_dir, path) for path in paths)
    if bundle is None:
        said = bundles.alone(stored)
    body = versions.Body(files=stored, description=description or said.description, bundle=said)
    with writing(here.engine) as connection:
        return versions.add_version(
            connection, model, label, digest=digest, body=body, now_ms=here.now_ms(), by=by
        )


def _beside(bundle: Path | None, said: Bundle, given: set[str]) -> list[Path]:
    """The files that the bundle names and nobody gave."""
    if bundle is None:
        return []
    return [bundle.parent / name for name in said.named() if name not in given]


def content(path: Path) -> bytes:
    """What the file holds; raises InputError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", field="file") from error
