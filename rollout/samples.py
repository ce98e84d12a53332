"""The rows on which the forms of a version are held against each other."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from streams import ports
from streams.errors import InputError
from streams.frames import TYPES, Array, Port
from streams.models import Feature

Arrays = dict[str, Array]
REFERENCE_BYTES = 256 * 1024 * 1024


def read_reference(path: Path, wanted: tuple[Port, ...]) -> tuple[Arrays, Arrays]:
    """Inputs by the names of `wanted`, and every other array as an output of the source.

    Raises InputError for a file that is no .npz of equal rows, or lacks an input.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > REFERENCE_BYTES:
            raise ValueError(f"{size} bytes once decompressed; at most {REFERENCE_BYTES} are read")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise _unfit(f"it cannot be read: {error}") from error
    lacking = [port.name for port in wanted if port.name not in arrays]
    if lacking:
        raise _unfit(f"it holds no array {lacking[0]!r}, an input of the ONNX file")
    if len({array.shape[:1] for array in arrays.values()}) != 1 or not len(arrays[wanted[0].name]):
        raise _unfit("its arrays have different numbers of rows, or none")
    inputs = {port.name: _as(arrays.pop(port.name), port) for port in wanted}
    if not arrays:
        raise _unfit("it holds inputs and no output")
    return inputs, arrays


def random_inputs(
    layout: ports.Layout, features: Mapping[str, Feature], *, rows: int, seed: int
) -> Arrays:
    """Rows drawn evenly over the declared ranges; an open end is drawn from a normal's scale.

    Raises InputError for a text: no declaration says which there are.
    """
    rng = np.random.default_rng(seed)
    drawn = {name: _draw(rng, name, features.get(name), rows) for name in layout.features}
    arrays, faults = layout.arrays(
        [{name: column[k] for name, column in drawn.items()} for k in range(rows)]
    )
    if faults:
        raise InputError(f"no random rows: {next(iter(faults.values()))}", field="features")
    return arrays


def _draw(
    rng: np.random.Generator, name: str, feature: Feature | None, rows: int
) -> list[bool | float | str | None]:
    if feature is not None and feature.type == "category":
        raise InputError(f"which texts {name!r} may be is not declared", field="features")
    if feature is not None and feature.type == "boolean":
        return [bool(each) for each in rng.integers(0, 2, rows)]
    low = None if feature is None else feature.minimum
    high = None if feature is None else feature.maximum
    if low is not None and high is not None:
        return [float(each) for each in rng.uniform(low, high, rows)]
    steps = rng.standard_normal(rows)
    if low is not None:
        return [float(low + abs(each)) for each in steps]
    if high is not None:
        return [float(high - abs(each)) for each in steps]
    return [float(each) for each in steps]


def _as(array: Array, port: Port) -> Array:
    dtype = TYPES.get(port.type, "str")
    return array.astype(object if dtype == "str" else dtype)


def _unfit(what: str) -> InputError:
    return InputError(
        f"reference: {what}", field="reference",
        fix="np.savez('reference.npz', <input>=..., <output>=...) with the names of the ONNX file",
    )  # fmt: skip
