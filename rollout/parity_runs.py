"""Runs the forms of a version on the same rows, in capped children, and reports how they agree.

The ONNX file is held against the torch program that it was exported from (a .pt2 checkpoint), or
against outputs that its source gave (`reference`); the quantised file against the ONNX file. Rows
are those of the reference and random ones over the declared ranges.
"""

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rollout import parity
from rollout.parity import BATCHES, Comparison, Decided, Form, Report, Timing
from rollout.samples import Arrays, random_inputs, read_reference
from streams import outputs, ports
from streams.errors import ConfigError, Error, InputError
from streams.frames import Array, Port
from streams.models import Declaration
from streams.scoring import MIB, Limits, Scorer, scorer, stored_path
from streams.versions import Version

TIMING_S = 0.3
MOST_CALLS = 300
TORCH_LIMITS = Limits(memory_bytes=2048 * MIB, load_s=120.0, run_s=60.0)
LIMITS = Limits(memory_bytes=2048 * MIB, load_s=60.0, run_s=30.0)


def check(
    root: Path, version: Version, model: Declaration, *, random_rows: int = 256, seed: int = 0
) -> Report:
    """How the forms of `version`, whose files are in the store at `root`, agree.

    Raises InputError for a version without an ONNX file or with nothing to hold it against,
    ConfigError when torch is needed and not installed. What a form cannot answer is a fault of the
    report, which then has not passed.
    """
    run = _Run(root, version, model, random_rows=random_rows, seed=seed)
    with scorer(root, version, limits=LIMITS) as onnx:
        run.onnx(onnx)
        if version.body.bundle.quantised:
            run.quantised(onnx)
    return run.report()


class _Run:
    """One check, as it goes."""

    def __init__(
        self, root: Path, version: Version, model: Declaration, *, random_rows: int, seed: int
    ) -> None:
        self._root, self._version, self._model = root, version, model
        self._bundle, self._random_rows, self._seed = version.body.bundle, random_rows, seed
        self._checkpoint = self._bundle.checkpoint or ""
        if not self._checkpoint.endswith(".pt2") and self._bundle.reference is None:
            raise InputError(
                "there is nothing to hold the ONNX file against", field="reference",
                why="a checkpoint of weights alone cannot be run: it lacks the program",
                fix="bring a .pt2 of torch.export.save, or reference outputs (.npz)",
            )  # fmt: skip
        self._source = ""
        self._inputs: Arrays = {}
        self._answered: Arrays = {}
        self._dynamic = False
        self._comparisons: list[Comparison] = []
        self._decisions: list[Decided] = []
        self._timings: list[Timing] = []
        self._faults: list[str] = []
        self._notes: list[str] = []

    def onnx(self, onnx: Scorer) -> None:
        """The ONNX file against what it was made from."""
        inputs, expected = self._reference(onnx.inputs)
        known = len(next(iter(inputs.values()))) if inputs else 0
        self._inputs = self._with_random(inputs, onnx.inputs)
        with self._noting("onnx"):
            self._answered = onnx.run(self._inputs).outputs
        if not self._answered:
            return
        if expected:
            self._source = "reference"
            part = {name: array[:known] for name, array in self._answered.items()}
            self._compare("reference", expected, "onnx", part)
        if self._checkpoint.endswith(".pt2"):
            self._torch()
        tolerance = self._bundle.parity.onnx
        with self._noting("onnx in other batches"):
            self._dynamic = parity.is_dynamic(
                lambda rows: onnx.run(rows).outputs, self._inputs, self._answered,
                tolerance=tolerance,
            )  # fmt: skip
        if not self._dynamic:
            self._faults.append("the batch is not dynamic: rows are answered otherwise alone")
        self._time("onnx", onnx)

    def quantised(self, onnx: Scorer) -> None:
        """The quantised file against the ONNX file."""
        del onnx
        with (
            self._noting("quantised"),
            scorer(self._root, self._version, file="quantised", limits=LIMITS) as small,
        ):
            answered = small.run(self._inputs).outputs
            self._compare("onnx", self._answered, "quantised", answered)
            self._time("quantised", small)

    def report(self) -> Report:
        verdicts = [each.passed for each in self._comparisons]
        verdicts += [each.passed for each in self._decisions]
        rows = len(next(iter(self._inputs.values()))) if self._inputs else 0
        return Report(
            model=self._version.model, version=self._version.label, digest=self._version.digest,
            passed=bool(verdicts) and all(verdicts) and self._dynamic and not self._faults,
            seed=self._seed, source=self._source, rows=rows, random_rows=self._random_rows,
            dynamic_batch=self._dynamic, comparisons=tuple(self._comparisons),
            decisions=tuple(self._decisions), timings=tuple(self._timings),
            faults=tuple(self._faults), notes=tuple(self._notes),
        )  # fmt: skip

    def _torch(self) -> None:
        if importlib.util.find_spec("torch") is None:
            raise ConfigError(
                "the version's checkpoint is a torch program, and torch is not installed",
                fix="pip install 'penstock[torch]', or add a version with reference outputs",
            )
        path = stored_path(self._root, self._version, self._checkpoint)
        name = f"{self._version.model} {self._version.label} (torch)"
        with (
            self._noting("torch"),
            Scorer(name, "rollout.torch_program", path, limits=TORCH_LIMITS) as program,
        ):
            self._source = "torch" if not self._source else f"{self._source}, torch"
            given = dict(zip((p.name for p in program.inputs), self._inputs.values(), strict=True))
            before = program.run(given).outputs
            self._compare("torch", before, "onnx", self._answered)
            self._time("torch", program, given)

    def _compare(self, before: Form, one: Arrays, after: Form, other: Arrays) -> None:
        tolerance, flips = parity.limits(self._bundle.parity, after)
        forms = (before, after)
        self._comparisons += parity.compared(one, other, forms=forms, tolerance=tolerance)
        with self._noting(f"decisions of {before} and {after}"):
            activation = self._bundle.activation
            self._decisions += parity.decided(
                outputs.answers(one, self._model, activation=activation),
                outputs.answers(other, self._model, activation=activation),
                self._model.thresholds, forms=forms, flips=flips,
            )  # fmt: skip

    def _time(self, form: Form, running: Scorer, inputs: Arrays | None = None) -> None:
        rows = self._inputs if inputs is None else inputs
        for batch in BATCHES:
            given = {name: _tiled(array, batch) for name, array in rows.items()}
            with self._noting(f"{form} at batch {batch}"):
                self._timings.append(_timed(form, running, given, batch))

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        try:
            yield
        except ConfigError:
            raise
        except Error as error:
            self._faults.append(f"{what}: {error.message}")

    def _reference(self, wanted: tuple[Port, ...]) -> tuple[Arrays, Arrays]:
        if self._bundle.reference is None:
            return {}, {}
        path = stored_path(self._root, self._version, self._bundle.reference)
        return read_reference(path, wanted)

    def _with_random(self, inputs: Arrays, wanted: tuple[Port, ...]) -> Arrays:
        """The rows of the reference, then random ones where the declaration says what is usual."""
        try:
            layout = ports.layout(wanted, self._bundle.inputs)
            ports.undeclared(layout, list(self._model.features))
            random = random_inputs(
                layout, self._model.features, rows=self._random_rows, seed=self._seed
            )
        except InputError as error:
            if not inputs:
                raise
            self._random_rows = 0
            self._notes.append(f"no random rows: {error.message}")
            return inputs
        if not inputs:
            return random
        return {
            name: np.concatenate([array, random[name].astype(array.dtype)])
            for name, array in inputs.items()
        }


def _timed(form: Form, running: Scorer, given: Arrays, batch: int) -> Timing:
    """Calls for TIMING_S, after one that warms up."""
    running.run(given)
    model_s: list[float] = []
    total_s: list[float] = []
    until = time.perf_counter() + TIMING_S
    while len(total_s) < MOST_CALLS and (time.perf_counter() < until or len(total_s) < 5):
        answered = running.run(given)
        model_s.append(answered.model_s)
        total_s.append(answered.total_s)
    return parity.timing(form, batch, model_s, total_s)


def _tiled(array: Array, rows: int) -> Array:
    """`rows` rows of `array`, over again where it has fewer."""
    return array[np.arange(rows) % len(array)]
