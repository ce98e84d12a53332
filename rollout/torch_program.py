"""The child that runs what an ONNX file was exported from: a torch program (`torch.export`, .pt2).

It is spoken to like `streams.scorer` and confined like it. The archive may hold tensors and a
graph; an object that would be unpickled by calling code is refused by an audit hook, and
`torch.load` takes weights only (`streams.children` tells it so).
"""

import os
import sys
import time
from typing import Any

import numpy as np
import torch

from streams import confinement, frames
from streams.frames import Failed, Port, Ready, Scored

_TYPES = {
    torch.float32: "tensor(float)", torch.float64: "tensor(double)",
    torch.float16: "tensor(float16)", torch.int64: "tensor(int64)", torch.int32: "tensor(int32)",
    torch.bool: "tensor(bool)",
}  # fmt: skip


def main() -> None:
    """`PATH MEMORY_BYTES SECONDS`, as `streams.scorer`."""
    path, memory_bytes, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    asked, said = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what torch prints is no answer
    try:
        confinement.confine(memory_bytes=memory_bytes)
        confinement.allow_cpu(seconds)
        torch.set_num_threads(1)
        sys.addaudithook(_refuse_pickles)
        program = torch.export.load(path)
        module, ports = program.module(), _ports(program)
        confinement.open_nothing_more()
        first: frames.Said = Ready(ports, ())
    except BaseException as error:
        first = Failed("load", str(error)[:500] or type(error).__name__)
    said.write(frames.framed(first))
    said.flush()
    while isinstance(first, Ready) and (head := asked.read(frames.HEAD.size)):
        (size,) = frames.HEAD.unpack(head)
        confinement.allow_cpu(seconds)
        said.write(frames.framed(_answer(module, asked.read(size))))
        said.flush()


def _refuse_pickles(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "pickle.find_class":
        raise RuntimeError(f"the archive holds a pickled {'.'.join(map(str, arguments[1:]))}")


def _ports(program: Any) -> tuple[Port, ...]:
    """The inputs of the program's graph, in their order."""
    names = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.name in names]
    found = []
    for node in nodes:
        value = node.meta["val"]
        shape = tuple(n if isinstance(n, int) else None for n in value.shape)
        found.append(Port(node.name, _TYPES[value.dtype], shape))
    return tuple(found)


def _answer(module: Any, body: bytes) -> Scored | Failed:
    try:
        given = [torch.from_numpy(frames.array(c).copy()) for c in frames.decode_asked(body)]
        begun = time.perf_counter_ns()
        with torch.no_grad():
            answered = module(*given)
        took_us = (time.perf_counter_ns() - begun) // 1000
        parts = answered if isinstance(answered, tuple | list) else [answered]
        columns = [
            frames.column(f"output_{k}", np.asarray(part.numpy())) for k, part in enumerate(parts)
        ]
        return Scored(tuple(columns), took_us)
    except Exception as error:  # a program of somebody else's
        return Failed("run", str(error)[:500] or type(error).__name__)
