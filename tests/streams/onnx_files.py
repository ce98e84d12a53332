"""Small ONNX files, good and hostile, made operator by operator."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSETS = (helper.make_opsetid("", 20),)


def value(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, *, tensors=(), opsets=OPSETS) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=list(tensors))
    return helper.make_model(graph, opset_imports=list(opsets), ir_version=10)


def saved(path: Path, made: onnx.ModelProto) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def one(operator: str, *, domain: str = "", opsets=OPSETS, **attributes) -> onnx.ModelProto:
    """Y = operator(X), X of three columns."""
    node = helper.make_node(operator, ["X"], ["Y"], domain=domain, **attributes)
    return model([node], [value("X", ["n", 3])], [value("Y", ["n", 3])], opsets=opsets)


def linear(weights, bias) -> onnx.ModelProto:
    """Y = softmax(X W + b): probabilities of as many classes as W has columns."""
    weights, bias = np.asarray(weights, np.float32), np.asarray(bias, np.float32)
    tensors = [numpy_helper.from_array(weights, "W"), numpy_helper.from_array(bias, "b")]
    nodes = [
        helper.make_node("Gemm", ["X", "W", "b"], ["Z"]),
        helper.make_node("Softmax", ["Z"], ["Y"], axis=1),
    ]
    ports = [value("X", ["n", weights.shape[0]])], [value("Y", ["n", weights.shape[1]])]
    return model(nodes, *ports, tensors=tensors)


def greedy(numbers: int) -> onnx.ModelProto:
    """Needs `numbers` x 4 bytes for one row; the file has a few hundred bytes."""
    size = numpy_helper.from_array(np.array([numbers], np.int64), "size")
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["big"],
                         value=helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])),
        helper.make_node("RandomUniformLike", ["big"], ["wild"]),
        helper.make_node("ReduceSum", ["wild"], ["sum"], keepdims=0),
        helper.make_node("Add", ["X", "sum"], ["Y"]),
    ]  # fmt: skip
    return model(nodes, [value("X", ["n", 3])], [value("Y", ["n", 3])], tensors=[size])


def looping(turns: int) -> onnx.ModelProto:
    """Adds one to X, `turns` times."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["x", "step"], ["x_next"]),
        ],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("x", None)],
        [value("go_on", [], TensorProto.BOOL), value("x_next", None)],
        initializer=[numpy_helper.from_array(np.float32(1), "step")],
    )
    tensors = [
        numpy_helper.from_array(np.int64(turns), "turns"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    node = helper.make_node("Loop", ["turns", "yes", "X"], ["Y"], body=body)
    return model([node], [value("X", ["n", 3])], [value("Y", ["n", 3])], tensors=tensors)


def reading(location: str, *, inside: bool = False, count: int = 3) -> onnx.ModelProto:
    """Y = X + W, where W is kept in the file `location`; `inside` a subgraph."""
    tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[count])
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", "0"), ("length", str(4 * count))):
        tensor.external_data.add(key=key, value=text)
    add = helper.make_node("Add", ["X", "W"], ["Y"])
    ports = [value("X", ["n", 3])], [value("Y", ["n", 3])]
    if not inside:
        return model([add], *ports, tensors=[tensor])
    branch = helper.make_graph([add], "b", [], [value("Y", ["n", 3])], initializer=[tensor])
    yes = numpy_helper.from_array(np.array(True), "yes")
    node = helper.make_node("If", ["yes"], ["Y"], then_branch=branch, else_branch=branch)
    return model([node], *ports, tensors=[yes])
