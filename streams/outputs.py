"""What a version's numbers mean: the answer that a service would have reported.

A classifier gives labels, or a number for each class, or for two classes the positive one's; a
regression gives one number a row.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from streams.errors import InputError
from streams.events import Failure, Output
from streams.frames import Array
from streams.models import Declaration

DEFAULT_THRESHOLD = 0.5
Floats = npt.NDArray[np.float64]


class Answers(msgspec.Struct, frozen=True):
    """What the rows of a batch were answered.

    A classification has `probabilities` (rows, classes) or `labels`; a regression has `values`.
    """

    classes: tuple[str, ...]
    positive: int | None = None  # of two classes
    probabilities: Floats | None = None
    labels: tuple[str, ...] | None = None
    values: Floats | None = None

    @property
    def rows(self) -> int:
        """How many rows were answered."""
        parts = (self.probabilities, self.labels, self.values)
        return next(len(part) for part in parts if part is not None)

    def label(self, row: int, threshold: float | None = None) -> str:
        """The class that the row is decided for, at `threshold` where there are two."""
        if self.probabilities is None:
            assert self.labels is not None
            return self.labels[row]
        if self.positive is None:
            return self.classes[int(np.argmax(self.probabilities[row]))]
        bar = DEFAULT_THRESHOLD if threshold is None else threshold
        is_positive = self.probabilities[row, self.positive] >= bar
        return self.classes[self.positive if is_positive else 1 - self.positive]

    def output(self, row: int, live: Output | None = None) -> Output | Failure:
        """The row's answer, at the threshold at which `live` was decided."""
        if self.values is not None:
            return Output(value=float(self.values[row]))
        threshold = None if live is None else live.threshold
        label = self.label(row, threshold)
        if label not in self.classes:
            return Failure(type="unknown-class", message=f"{label[:80]!r} is no declared class")
        if self.probabilities is None:
            return Output(label=label)
        column = self.classes.index(label) if self.positive is None else self.positive
        score = float(self.probabilities[row, column])
        if not -1e-6 <= score <= 1 + 1e-6:
            return Failure(
                type="no-probability", message=f"{score:g} is not within 0 to 1: say activation"
            )
        return Output(
            label=label, score=min(1.0, max(0.0, score)), threshold=threshold,
            scenario=None if live is None else live.scenario,
        )  # fmt: skip


def answers(
    outputs: Mapping[str, Array], model: Declaration, *, activation: str = "none"
) -> Answers:
    """The meaning of `outputs`; InputError when they cannot be an answer of this model."""
    arrays = {name: _flat(array) for name, array in outputs.items()}
    if model.task == "regression":
        values = next((a for a in arrays.values() if a.ndim == 1 and a.dtype.kind in "fiu"), None)
        if values is None:
            raise _misfit(outputs, "one number a row")
        return Answers((), values=values.astype(np.float64))
    if model.task != "classification":
        raise InputError(
            f"answers of a {model.task} are not read from a file", field="task",
            fix="let the service report shadow answers of this model",
        )  # fmt: skip
    positive = model.classes.index(model.positive_class) if model.binary else None
    numbers = _probabilities(arrays.values(), model, positive, activation)
    if numbers is not None:
        return Answers(model.classes, positive, probabilities=numbers)
    labels = next((a for a in arrays.values() if a.ndim == 1 and a.dtype.kind in "iuO"), None)
    if labels is None:
        raise _misfit(outputs, f"a label or {len(model.classes)} numbers a row")
    return Answers(model.classes, positive, labels=_labels(labels, model.classes))


def _probabilities(
    arrays: Iterable[Array], model: Declaration, positive: int | None, activation: str
) -> Floats | None:
    for array in arrays:
        if array.dtype.kind != "f":
            continue
        if array.ndim == 2 and array.shape[1] == len(model.classes):
            return _activated(array.astype(np.float64), activation)
        if array.ndim == 1 and positive is not None:
            score = _activated(array.astype(np.float64)[:, None], activation)[:, 0]
            pair = (score, 1 - score) if positive == 0 else (1 - score, score)
            return np.stack(pair, axis=1)
    return None


def _activated(array: Floats, activation: str) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        if activation == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-array)))
        if activation == "softmax":
            powers = np.exp(array - array.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return array


def _labels(array: Array, classes: Sequence[str]) -> tuple[str, ...]:
    """Texts as they are; numbers name a class, or are its place when no class is a number."""
    texts = tuple(str(each) for each in array.tolist())
    if array.dtype.kind == "O" or any(name.lstrip("-").isdigit() for name in classes):
        return texts
    places = {str(k): name for k, name in enumerate(classes)}
    return tuple(places.get(text, text) for text in texts)


def _flat(array: Array) -> Array:
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _misfit(outputs: Mapping[str, Array], wanted: str) -> InputError:
    told = ", ".join(f"{name} {a.dtype} {list(a.shape)}" for name, a in outputs.items())
    return InputError(
        f"the version's outputs ({told}) hold none that is {wanted}", field="onnx",
        rule="outputs", fix="export it again, or declare the model as it is",
    )  # fmt: skip
