"""How many requests a second one candidate answers beside the live version.

    python -m benchmarks.shadow [--json]

A network of 64 neurons on 20 features, in its child, one thread, batches of 32: from events with
features to encoded shadow answers. `shadow.pass_per_s` is the same from the embedded log and back
into it, decoded, appended and with the place kept. Medians of five rounds.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.figures import Figure, tell
from penstock.direct import Direct
from penstock.installation import Installation, opened, prepare
from penstock.settings import Settings
from rollout.shadow import Candidate, shadow_of
from rollout.shadow_pass import BATCH, Shadow
from streams import files, registry, versions
from streams.bundles import Bundle
from streams.db.engine import writing
from streams.events import Output, Prediction
from streams.models import Declaration
from streams.versions import Version

FEATURES = tuple(f"f{k}" for k in range(20))
ROWS = 20_000
ROUNDS = 5
GOAL = "> 10000"
MODEL = Declaration(model="fraud", task="classification", classes=("ok", "fraud"))


def network() -> bytes:
    """An ONNX file: 20 features, 64 neurons, two probabilities."""
    rng = np.random.default_rng(7)
    shapes = {"W1": (20, 64), "b1": (64,), "W2": (64, 2), "b2": (2,)}
    tensors = [
        numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Gemm", ["X", "W1", "b1"], ["H"]),
        helper.make_node("Relu", ["H"], ["R"]),
        helper.make_node("Gemm", ["R", "W2", "b2"], ["Z"]),
        helper.make_node("Softmax", ["Z"], ["P"], axis=1),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])]
        for name, width in (("X", 20), ("P", 2))
    )
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=tensors)
    opsets = [helper.make_opsetid("", 20)]
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return bytes(made.SerializeToString())


def live(here: Installation, first: int, count: int) -> list[Prediction]:
    """Live answers with features."""
    rows = np.random.default_rng(first).normal(size=(count, 20)).round(4).tolist()
    return [
        Prediction(
            model="fraud", version="1", prediction_id=f"p-{first + k}", time=here.now_ms(),
            output=Output(label="ok", score=0.1), unit_id=f"u-{k}",
            features=dict(zip(FEATURES, row, strict=True)),
        )
        for k, row in enumerate(rows)
    ]  # fmt: skip


def answers(candidate: Candidate, requests: list[Prediction]) -> float:
    """Requests a second from decoded events to encoded answers."""
    begun = time.perf_counter()
    for first in range(0, len(requests), BATCH):
        batch = requests[first : first + BATCH]
        for each, answer in zip(batch, candidate.answers(batch), strict=True):
            msgspec.json.encode(shadow_of(each, "2", answer, queue_ms=1.0))
    return len(requests) / (time.perf_counter() - begun)


def passed(here: Installation, shadow: Shadow, requests: list[Prediction]) -> float:
    """Requests a second from the log and back into it."""
    lines = [msgspec.json.encode(each) for each in requests]
    for first in range(0, len(lines), 500):
        Direct(here.log).take(lines[first : first + 500])
    begun = time.perf_counter()
    while shadow.step():
        continue
    return len(requests) / (time.perf_counter() - begun)


def added(here: Installation, folder: Path) -> Version:
    """The candidate, registered."""
    path = folder / "model.onnx"
    path.write_bytes(network())
    stored = files.store(here.settings.files_dir, path)
    body = versions.Body((stored,), bundle=Bundle(onnx=path.name, inputs=FEATURES))
    with writing(here.engine) as connection:
        registry.register(connection, MODEL, now_ms=0, by="bench")
        return versions.add_version(connection, "fraud", "2", body=body, now_ms=0, by="bench")


def figures() -> Iterator[Figure]:
    """shadow.rows_per_s and shadow.pass_per_s."""
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(data_dir=Path(name, "data"))
        prepare(settings)
        with opened(settings) as here:
            version = added(here, Path(name))

            def begin(version: Version, model: Declaration) -> Candidate:
                return Candidate(settings.files_dir, version, model, seconds=time.monotonic)

            candidate = begin(version, MODEL)
            rates = [answers(candidate, live(here, 0, ROWS)) for _ in range(ROUNDS + 1)][1:]
            candidate.close()
            told = f"batch {BATCH}, one thread, 20 features"
            yield Figure("shadow.rows_per_s", statistics.median(rates), "rows/s", GOAL, told)
            shadow = Shadow(
                here.log, here.engine, owner="bench", clock=here.clock, begin=begin,
                seconds=time.monotonic, named=[("fraud", "2")],
            )  # fmt: skip
            shadow.step()
            whole = [passed(here, shadow, live(here, k * ROWS, ROWS)) for k in range(ROUNDS)]
            shadow.close()
            yield Figure(
                "shadow.pass_per_s", statistics.median(whole), "rows/s", "-", "with the log"
            )


def main() -> None:
    """Prints the figures as they are known."""
    for figure in figures():
        tell(figure, as_json="--json" in sys.argv[1:])


if __name__ == "__main__":
    main()
