"""Versions of a small spam model in a store: an ONNX file, and what it was made from."""

from pathlib import Path

import numpy as np
import onnx

from streams import files
from streams.bundles import Bundle
from streams.models import Declaration, Feature
from streams.versions import Body, Version
from tests.streams import onnx_files

FEATURES = ("links", "length", "age")
SPAM = Declaration(
    model="spam",
    task="classification",
    classes=("ham", "spam"),
    features={name: Feature("number", minimum=0, maximum=2) for name in FEATURES},
    thresholds={"default": 0.5, "night": 0.8},
)
WEIGHTS = np.array([[1, -1], [0.5, -2], [-1.5, 2]], np.float32)
BIAS = np.array([0.1, -0.1], np.float32)
SAMPLE = np.array([[0.1, 0.2, 0.3], [1, 1, 1], [2, 0, 1.5], [0, 2, 0.5]], np.float32)


def softmax(rows, weights=WEIGHTS):
    """What the model answers, by numpy."""
    logits = rows.astype(np.float64) @ weights.astype(np.float64) + BIAS
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def written(folder: Path, *, reference=None, quantised=None, made=None) -> None:
    """The files of a version stand in `folder`; those that are not given are good ones."""
    onnx_files.saved(folder / "model.onnx", made or onnx_files.linear(WEIGHTS, BIAS))
    if reference is not None:
        np.savez(folder / "reference.npz", **reference)
    if isinstance(quantised, onnx.ModelProto):
        onnx_files.saved(folder / "small.onnx", quantised)


def stored(folder: Path, **fields) -> tuple[Path, Version]:
    """The store, and a version of every file that stands in `folder`."""
    root = folder / "files"
    kept = tuple(files.store(root, path) for path in sorted(folder.iterdir()) if path.is_file())
    names = {file.name for file in kept}
    parts = {"onnx": "model.onnx", "quantised": "small.onnx", "reference": "reference.npz",
             "checkpoint": "model.pt2"}  # fmt: skip
    said = {part: name for part, name in parts.items() if name in names}
    bundle = Bundle(**({"inputs": FEATURES} | said | fields))
    return root, Version("spam", "v42", 1, "d" * 64, Body(kept, bundle=bundle), created_ms=1)
