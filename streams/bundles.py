"""What a version brings, in its owner's words, and what that attests.

A bundle names the files of a version by the part they play, says how features become its inputs,
and tells what made it: dataset, hyperparameters, seed, commit. Its identity is a digest over all
of it, so two versions with one identity answer alike for a reason.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from streams import yamls
from streams.errors import InputError
from streams.events import Name, Share
from streams.files import Stored

Attestation = Literal["none", "lineage", "full"]
LEVELS: tuple[Attestation, ...] = ("none", "lineage", "full")

Setting = str | int | float | bool | None
Settings = dict[Name, Setting | tuple[Setting, ...]]
Tolerance = Annotated[float, Meta(gt=0, le=1e6)]
PARITY_CHECK = "a passed parity check"
FILES = ("onnx", "quantised", "checkpoint", "preprocessing", "reference")
"""The fields that name one file each."""


class Tolerances(Struct, frozen=True, forbid_unknown_fields=True):
    """How far outputs may differ from those they were made from, in units of the output."""

    onnx: Tolerance = 1e-4
    quantised: Tolerance = 0.05
    # The share of decisions that the quantised file may take otherwise.
    flips: Share = 0.0


class Bundle(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A version as its owner describes it; every file stands beside the description."""

    onnx: Name | None = None
    quantised: Name | None = None
    # Tensors that the ONNX files keep outside of themselves.
    data: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()
    # What the ONNX file was exported from: an exported torch program (.pt2), or its weights.
    checkpoint: Name | None = None
    preprocessing: Name | None = None
    # Inputs and the outputs that the source gave for them (.npz).
    reference: Name | None = None
    # Features in the order in which they fill the one input; else inputs are named as features are.
    inputs: Annotated[tuple[Name, ...], Meta(max_length=500)] = ()
    # What makes probabilities of the outputs.
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    hyperparameters: Settings | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    dataset: Annotated[str, Meta(max_length=200)] = ""
    commit: Annotated[str, Meta(pattern=r"^([0-9a-f]{7,64})?$")] = ""
    parity: Tolerances = Tolerances()
    description: Annotated[str, Meta(max_length=2048)] = ""

    def named(self) -> tuple[str, ...]:
        """Every file that it names, each once."""
        parts = [getattr(self, field) for field in FILES]
        return tuple(dict.fromkeys([part for part in parts if part] + list(self.data)))


def read_bundle(text: bytes, *, name: str = "file") -> Bundle:
    """A bundle from YAML or JSON; errors name line and field."""
    bundle, lines = yamls.located(text, Bundle, name=name)
    for path, part in _file_names(bundle):
        if "/" in part or part.startswith("."):
            raise yamls.refused(
                f"{part!r} is not the name of a file beside {name}", path, name=name, lines=lines,
                fix="put every file of the version into one folder",
            )  # fmt: skip
    if len(set(bundle.inputs)) != len(bundle.inputs):
        raise yamls.refused("a feature is named twice", ("inputs",), name=name, lines=lines)
    if bundle.hyperparameters is None or text.lstrip()[:1] == b"{":
        return bundle
    typed = {key: _typed(value) for key, value in bundle.hyperparameters.items()}
    return msgspec.structs.replace(bundle, hyperparameters=typed)


def alone(files: Sequence[Stored]) -> Bundle:
    """What files say without a word: where one is an ONNX file, it is what runs."""
    graphs = [file.name for file in files if file.name.endswith(".onnx")]
    return Bundle(onnx=graphs[0]) if len(graphs) == 1 else Bundle()


def identity(files: Sequence[Stored], bundle: Bundle, *, weights: str | None = None) -> str | None:
    """The sha256 that a version is, or None when it brings nothing.

    Of one file and no word it is the file's own; of several, that of their sorted
    `digest  name` lines; with words, that of the canonical JSON of files and words. What is said
    for people (description) and what is asked of it (tolerances) is no part of it.

    Args:
        weights: sha256 of what stays elsewhere.
    """
    lines = sorted(f"{file.digest}  {file.name}\n" for file in files)
    if weights is None and bundle in (Bundle(), alone(files)):
        return _sha256("".join(lines)) if len(files) > 1 else files[0].digest if files else None
    if bundle == Bundle():
        return weights
    said = msgspec.structs.replace(bundle, description="", parity=Tolerances())
    whole = {"files": lines, "weights": weights, "words": msgspec.to_builtins(said)}
    return _sha256(json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def missing(
    bundle: Bundle, *, digest: str | None, parity: bool | None
) -> dict[Attestation, list[str]]:
    """What `lineage` and `full` still ask for; `parity` is whether the newest check passed."""
    lineage = [] if digest else ["weights"]
    lineage += [] if bundle.dataset else ["dataset"]
    lineage += ["hyperparameters"] if bundle.hyperparameters is None else []
    lineage += ["seed"] if bundle.seed is None else []
    lineage += [] if bundle.commit else ["commit"]
    full = [] if bundle.onnx else ["onnx"]
    full += [] if parity else [PARITY_CHECK]
    return {"none": [], "lineage": lineage, "full": lineage + full}


def attestation(bundle: Bundle, *, digest: str | None, parity: bool | None) -> Attestation:
    """The highest level that asks for nothing more."""
    lacks = missing(bundle, digest=digest, parity=parity)
    return next(level for level in reversed(LEVELS) if not lacks[level])


def require_files(files: Sequence[Stored], bundle: Bundle) -> None:
    """Raises InputError when the bundle names a file that the version does not bring."""
    names = {file.name for file in files}
    for path, part in _file_names(bundle):
        if part not in names:
            field = yamls.spelled(path)
            raise InputError(
                f"{field}: the version brings no file {part!r}", field=field,
                fix=yamls.nearest(part, names),
            )  # fmt: skip


def difference(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Each field of two plain versions that differs, nested fields by their path."""
    one, other = dict(_flat(before)), dict(_flat(after))
    return [
        {"field": field, "before": one.get(field), "after": other.get(field)}
        for field in dict.fromkeys([*one, *other])
        if one.get(field) != other.get(field)
    ]


def _flat(value: Any, place: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(place, value)]
    return [
        pair
        for key, part in value.items()
        for pair in _flat(part, f"{place}.{key}" if place else str(key))
    ]


def _file_names(bundle: Bundle) -> list[tuple[yamls.Path, str]]:
    named: list[tuple[yamls.Path, str]] = [
        ((field,), part) for field in FILES if (part := getattr(bundle, field))
    ]
    return named + [(("data", k), part) for k, part in enumerate(bundle.data)]


def _typed(value: Setting | tuple[Setting, ...]) -> Setting | tuple[Setting, ...]:
    """YAML gave it as text: what reads as a number, true, false or null is one."""
    if isinstance(value, tuple):
        return tuple(_scalar(part) for part in value)
    return _scalar(value)


def _scalar(value: Setting) -> Setting:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value, type=int | float | bool | None)
    except msgspec.MsgspecError:
        return value


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
