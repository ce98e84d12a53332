"""Versions from an MLflow registry, and the champion back into it."""

import re
import tempfile
from pathlib import Path

from msgspec import Struct

from penstock import following
from penstock.installation import Installation
from penstock.mlflow import Mlflow, ModelVersion, Run, onnx_of
from streams import aliases, bundles, files, versions
from streams.aliases import Alias
from streams.bundles import Attestation, Bundle, Setting
from streams.db.engine import reading, writing
from streams.errors import ConflictError

KNOWN, REGISTERED = "known", "registered"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SEEDS = ("seed", "random_state", "random_seed")


class Synced(Struct, frozen=True, kw_only=True):
    """One version: registered now, known before, or why it is not registered."""

    version: str
    state: str
    attestation: Attestation | None = None
    digest: str | None = None


class Sync(Struct, frozen=True, kw_only=True):
    """What was found, and which version the alias stands for now; None: it was left alone."""

    model: str
    versions: list[Synced]
    alias: str
    champion: str | None


def sync(
    here: Installation, mlflow: Mlflow, model: str, *, name: str, alias: str, route: str, by: str
) -> Sync:
    """Every version that is ready is registered under its number, with what made it.

    The alias is set to the champion of the route once no rollout has it, now and by control from
    now on: whoever deploys by the alias follows what was decided here.
    """
    found = mlflow.versions(name)
    synced = [_synced(here, mlflow, model, each, by=by) for each in found]
    with reading(here.engine) as connection:
        champion = following.champion(connection, model, route)
    ours = tuple(each.version for each in synced if each.state in (KNOWN, REGISTERED))
    if champion not in ours:
        champion = None
    if champion is not None and not any(
        alias in each.aliases for each in found if each.version == champion
    ):
        mlflow.set_alias(name, alias, champion)
    follows = Alias(
        model=model, route=route, url=mlflow.url, name=name, alias=alias, versions=ours,
        stands_for=champion,
    )  # fmt: skip
    with writing(here.engine) as connection:
        aliases.follow(connection, follows)
    return Sync(model=model, versions=synced, alias=alias, champion=champion)


def _synced(
    here: Installation, mlflow: Mlflow, model: str, found: ModelVersion, *, by: str
) -> Synced:
    if found.status != "READY":
        return Synced(version=found.version, state=f"not ready: {found.status.lower()}")
    run = mlflow.run(found.run_id) if found.run_id else Run()
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        stored = tuple(
            files.store(here.settings.files_dir, mlflow.download(found.source, each, Path(folder)))
            for each in onnx_of(mlflow.files(found.source))
        )
    bundle = _bundle(run, onnx=bundles.alone(stored).onnx)
    digest = found.tag("sha256")
    body = versions.Body(files=stored, description=found.description[:2048], bundle=bundle)
    try:
        with writing(here.engine) as connection:
            before = {v.label for v in versions.of_model(connection, model) if v.created_ms}
            version = versions.add_version(
                connection, model, found.version, body=body, now_ms=here.now_ms(), by=by,
                digest=digest if _SHA256.fullmatch(digest) else None,
            )  # fmt: skip
    except ConflictError as error:
        return Synced(version=found.version, state=f"conflict: {error.message}")
    return Synced(
        version=found.version,
        state=KNOWN if found.version in before else REGISTERED,
        attestation=version.attestation,
        digest=version.digest,
    )


def _bundle(run: Run, *, onnx: str | None) -> Bundle:
    """What made the version, in the words of a bundle; parameters are texts there."""
    params: dict[str, Setting | tuple[Setting, ...]] = {
        param.key[:120]: param.value for param in run.params
    }
    seed = next((str(params[key]) for key in _SEEDS if key in params), "")
    commit = run.tag("mlflow.source.git.commit")
    return Bundle(
        onnx=onnx,
        hyperparameters=params if run.params else None,
        seed=int(seed) if seed.lstrip("-").isdigit() else None,
        dataset=", ".join(run.datasets)[:200],
        commit=commit if _COMMIT.fullmatch(commit) else "",
    )
