"""Whether the forms of one version answer alike: its source, its ONNX file, the quantised one.

Pure: arrays in, a report out. `rollout.parity_runs` runs the forms.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from streams.bundles import Tolerances
from streams.frames import Array
from streams.outputs import Answers

Form = Literal["torch", "reference", "onnx", "quantised"]
Floats = npt.NDArray[np.float64]
BATCHES = (1, 8, 32, 128)


class Comparison(msgspec.Struct, frozen=True):
    """One output of two forms on the same rows; differences in units of the output."""

    before: Form
    after: Form
    output: str
    rows: int
    max_abs: float
    p99_abs: float
    tolerance: float
    passed: bool


class Decided(msgspec.Struct, frozen=True):
    """Decisions of two forms on the same rows, at one threshold (None: the likeliest class)."""

    before: Form
    after: Form
    scenario: str
    threshold: float | None
    rows: int
    differ: int
    allowed: int
    passed: bool


class Timing(msgspec.Struct, frozen=True):
    """How fast a form is at one size of batch, one thread; `total` is with the way there and back.

    Milliseconds a batch; rows a second over whole calls.
    """

    form: Form
    batch: int
    batches: int
    model_p50_ms: float
    model_p99_ms: float
    total_p50_ms: float
    total_p99_ms: float
    rows_per_s: float


class Report(msgspec.Struct, frozen=True):
    """The check of one version; `faults` are what could not be compared at all."""

    model: str
    version: str
    digest: str | None
    passed: bool
    seed: int
    source: str  # what the ONNX file was held against
    rows: int
    random_rows: int
    dynamic_batch: bool
    comparisons: tuple[Comparison, ...]
    decisions: tuple[Decided, ...]
    timings: tuple[Timing, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def compared(
    before: Mapping[str, Array], after: Mapping[str, Array], *, forms: tuple[Form, Form],
    tolerance: float,
) -> list[Comparison]:  # fmt: skip
    """Each output of `before` beside that of `after`: by name, else by its place.

    A number that is not finite, or is missing on one side, is infinitely far from any other.
    """
    pairs = [(name, array, after.get(name)) for name, array in before.items()]
    if not before.keys() & after.keys():
        named = zip(before.items(), after.values(), strict=False)
        pairs = [(name, array, other) for (name, array), other in named]
    found = []
    for name, array, other in pairs:
        gaps = _gaps(array, other) if other is not None else np.array([np.inf])
        worst, high = float(gaps.max(initial=0)), _p99(gaps)
        found.append(
            Comparison(*forms, name, len(array), worst, high, tolerance, worst <= tolerance)
        )
    return found


def decided(
    before: Answers, after: Answers, thresholds: Mapping[str, float], *,
    forms: tuple[Form, Form], flips: float,
) -> list[Decided]:  # fmt: skip
    """Whether both decide alike at each threshold; of a regression nothing is decided.

    Args:
        flips: the share of rows that may be decided otherwise.
    """
    rows = 0 if before.values is not None else before.rows
    if rows == 0:
        return []
    bars: list[tuple[str, float | None]] = [("default", None)]
    if before.positive is not None and before.probabilities is not None:
        bars = list(thresholds.items()) or bars
    found = []
    for scenario, bar in bars:
        differ = sum(before.label(k, bar) != after.label(k, bar) for k in range(rows))
        allowed = int(flips * rows)
        found.append(Decided(*forms, scenario, bar, rows, differ, allowed, differ <= allowed))
    return found


def is_dynamic(
    run: Callable[[dict[str, Array]], Mapping[str, Array]], inputs: Mapping[str, Array],
    whole: Mapping[str, Array], *, tolerance: float, sizes: Sequence[int] = (1, 3),
) -> bool:  # fmt: skip
    """Whether the first rows alone are answered as they were among all."""
    for size in sizes:
        part = run({name: array[:size] for name, array in inputs.items()})
        for name, array in whole.items():
            gaps = _gaps(array[:size], part[name])
            if gaps.max(initial=0) > tolerance:
                return False
    return True


def timing(form: Form, batch: int, model_s: Sequence[float], total_s: Sequence[float]) -> Timing:
    """The figures of calls that took so long."""
    model_ms, total_ms = np.array(model_s) * 1000, np.array(total_s) * 1000
    p50, p99 = (np.quantile([model_ms, total_ms], q, axis=1).round(4) for q in (0.5, 0.99))
    return Timing(
        form=form,
        batch=batch,
        batches=len(total_s),
        model_p50_ms=float(p50[0]),
        model_p99_ms=float(p99[0]),
        total_p50_ms=float(p50[1]),
        total_p99_ms=float(p99[1]),
        rows_per_s=round(batch * len(total_s) / float(np.sum(total_s)), 1),
    )


def limits(tolerances: Tolerances, after: Form) -> tuple[float, float]:
    """The tolerance of outputs and the share of flips for the form that was made."""
    if after == "quantised":
        return tolerances.quantised, tolerances.flips
    return tolerances.onnx, 0.0


def _gaps(one: Array, other: Array) -> Floats:
    """Absolute differences; of texts and whole numbers that name something, 0 or infinity."""
    if one.shape != other.shape:
        return np.array([np.inf])
    if one.dtype.kind != "f" or other.dtype.kind != "f":
        return np.where(np.asarray(one == other), 0.0, np.inf).ravel()
    with np.errstate(invalid="ignore"):
        gaps = np.abs(one.astype(np.float64) - other.astype(np.float64)).ravel()
    return np.where(np.isfinite(gaps), gaps, np.inf)


def _p99(gaps: Floats) -> float:
    """Nearest rank, so that an infinite gap stays one."""
    return float(np.quantile(gaps, 0.99, method="inverted_cdf")) if len(gaps) else 0.0
