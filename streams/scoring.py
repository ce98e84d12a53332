"""Runs a version's ONNX file in a child of its own, with nothing to lose.

The file is examined first (`streams.graphs`), copied with the version's other files into a folder
that holds nothing else, and run under limits of memory and time without network
(`streams.confinement`). A child that crashes, hangs or eats memory is an error that names the
version; the next batch gets a new child.
"""

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec
import numpy as np

from streams import files, frames, graphs
from streams.children import Child, failure, refused
from streams.errors import InputError
from streams.frames import Array, Port, Ready, Scored
from streams.versions import Version

MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True):
    """What one child may use."""

    memory_bytes: int = 512 * MIB  # beyond the runtime itself
    load_s: float = 30.0
    run_s: float = 10.0  # of each batch


DEFAULT_LIMITS = Limits()


class Answered(msgspec.Struct, frozen=True):
    """What a version answered to one batch."""

    outputs: dict[str, Array]
    finite: Array  # of each row, whether all its numbers are
    model_s: float  # in the model alone
    total_s: float  # with the way there and back


class Scorer:
    """One version, loaded and ready. Not shared between threads; `close` ends its child."""

    def __init__(
        self, name: str, module: str, file: Path, *, beside: Sequence[tuple[str, Path]] = (),
        limits: Limits,
    ) -> None:  # fmt: skip
        """`main` of `module` has loaded `file` in a child; ScoringError when it cannot.

        Args:
            name: the version's, for errors.
            beside: other files of the version, by the names that `file` knows them by.
        """
        self._name, self._limits = name, limits
        self._folder = tempfile.TemporaryDirectory(prefix="penstock-model-")
        try:
            shutil.copyfile(file, Path(self._folder.name, "model"))
            for name_beside, path in beside:
                shutil.copyfile(path, Path(self._folder.name, name_beside))
            self._child = Child(name, module, self._folder.name, *_told(limits))
            ready = self._child.hear(limits.load_s)
            if not isinstance(ready, Ready):
                raise refused(name, ready)
        except BaseException:
            self.close()
            raise
        self.inputs: tuple[Port, ...] = ready.inputs
        self.outputs: tuple[Port, ...] = ready.outputs

    def run(self, inputs: Mapping[str, Array], *, partial: bool = False) -> Answered:
        """What the version answers to the rows of `inputs`.

        Raises ScoringError, also for a number that is not finite unless `partial`: then `finite`
        tells the rows. After a crash or a time-out the scorer is of no more use.
        """
        rows = len(next(iter(inputs.values())))
        begun = time.perf_counter()
        columns = [frames.column(name, array) for name, array in inputs.items()]
        self._child.say(tuple(columns), self._limits.run_s)
        scored = self._child.hear(self._limits.run_s)
        if not isinstance(scored, Scored):
            raise refused(self._name, scored)
        outputs = {each.name: self._array(each, rows) for each in scored.outputs}
        finite = _finite(outputs, rows)
        if not partial and not finite.all():
            bad = int(np.argmin(finite))
            raise failure(
                self._name, "not-finite", f"answered NaN or infinity in row {bad} of {rows}"
            )
        return Answered(outputs, finite, scored.took_us / 1e6, time.perf_counter() - begun)

    @property
    def is_alive(self) -> bool:
        """Whether it can still be run."""
        return self._child.is_alive

    def close(self) -> None:
        """The child has ended and its folder is gone."""
        child = getattr(self, "_child", None)
        if child is not None:
            child.end()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _array(self, column: frames.Column, rows: int) -> Array:
        try:
            array = frames.array(column)
        except ValueError as error:
            raise failure(self._name, "shape", f"output {column.name!r}: {error}") from error
        if not array.shape or array.shape[0] != rows:
            raise failure(
                self._name, "shape",
                f"answered {rows} rows with an output {column.name!r} of shape {array.shape}",
            )  # fmt: skip
        return array


def graph_scorer(
    name: str, graph: Path, *, beside: Sequence[tuple[str, Path]] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Scorer:  # fmt: skip
    """The ONNX file `graph`, ready to run; InputError for one that must not be."""
    graphs.check(graphs.read_graph(graph.read_bytes()), files={known for known, _ in beside})
    return Scorer(name, "streams.scorer", graph, beside=beside, limits=limits)


def scorer(
    root: Path, version: Version, *, file: str = "onnx", limits: Limits = DEFAULT_LIMITS
) -> Scorer:
    """The version's `onnx` or `quantised` file, from the store at `root`, ready to run."""
    graph = getattr(version.body.bundle, file)
    if graph is None:
        raise InputError(
            f"version {version.label!r} of {version.model!r} brings no {file} file", field=file,
            fix=f"add a version with one: penstock model add-version {version.model} ...",
        )  # fmt: skip
    paths = {name: stored_path(root, version, name) for name in (graph, *version.body.bundle.data)}
    name = f"{version.model} {version.label}"
    return graph_scorer(name, paths.pop(graph), beside=list(paths.items()), limits=limits)


def stored_path(root: Path, version: Version, name: str) -> Path:
    """Where the version's file `name` stands, whole and undamaged; ConfigError when it is not."""
    digest = version.body.file(name).digest
    files.read(root, digest)
    return files.path_of(root, digest)


def _told(limits: Limits) -> tuple[str, ...]:
    return "model", str(limits.memory_bytes), str(max(limits.load_s, limits.run_s))


def _finite(outputs: Mapping[str, Array], rows: int) -> Array:
    finite = np.ones(rows, bool)
    for array in outputs.values():
        if array.dtype.kind == "f":
            finite &= np.isfinite(array).reshape(rows, -1).all(axis=1)
    return finite
