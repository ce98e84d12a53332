"""The child that runs one version's ONNX file: batches in on stdin, answers out on stdout.

It is started by `streams.scoring` and knows nothing of Penstock: no settings, no credentials, no
database. Whatever happens in here, its parent has an error to show.
"""

import os
import sys
import time
from typing import Any, BinaryIO

import numpy as np
import onnxruntime

from streams import confinement, frames
from streams.frames import Failed, Port, Ready, Scored


def main() -> None:
    """`PATH MEMORY_BYTES SECONDS`: loads the file, says what it takes, and answers until EOF."""
    path, memory_bytes, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    asked = os.fdopen(os.dup(0), "rb")
    said = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the runtime prints is no answer
    try:
        session, ready = loaded(path, memory_bytes=memory_bytes, seconds=seconds)
    except BaseException as error:  # also what is no Exception, such as a runtime's own
        _say(said, _failure(error, "load"))
        return
    _say(said, ready)
    while head := asked.read(frames.HEAD.size):
        (size,) = frames.HEAD.unpack(head)
        confinement.allow_cpu(seconds)
        _say(said, _answer(session, asked.read(size)))


def loaded(path: str, *, memory_bytes: int, seconds: float) -> tuple[Any, Ready]:
    """A session in this process, confined first, and what it takes and gives."""
    confinement.confine(memory_bytes=memory_bytes)
    confinement.allow_cpu(seconds)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    confinement.open_nothing_more()
    return session, Ready(_ports(session.get_inputs()), _ports(session.get_outputs()))


def _answer(session: Any, body: bytes) -> Scored | Failed:
    try:
        given = {each.name: frames.array(each) for each in frames.decode_asked(body)}
        begun = time.perf_counter_ns()
        outputs = session.run(None, given)
        took_us = (time.perf_counter_ns() - begun) // 1000
        names = [port.name for port in session.get_outputs()]
        columns = [_column(name, part) for name, part in zip(names, outputs, strict=True)]
        return Scored(tuple(columns), took_us)
    except Exception as error:
        return _failure(error, "run")


def _column(name: str, part: Any) -> frames.Column:
    if not isinstance(part, np.ndarray):
        raise TypeError(f"output {name!r} is no tensor; export with zipmap=False")
    return frames.column(name, part)


def _ports(ports: Any) -> tuple[Port, ...]:
    return tuple(
        Port(p.name, p.type, tuple(n if isinstance(n, int) else None for n in p.shape or ()))
        for p in ports
    )


def _failure(error: BaseException, kind: str) -> Failed:
    text = str(error) or type(error).__name__
    starved = isinstance(error, MemoryError) or any(
        word in text for word in ("bad_alloc", "Failed to allocate", "bad allocation")
    )
    return Failed("memory" if starved else kind, text[:500])


def _say(said: BinaryIO, what: frames.Said) -> None:
    try:
        said.write(frames.framed(what))
    except MemoryError:
        said.write(frames.framed(Failed("memory", "no memory is left to answer with")))
    said.flush()
