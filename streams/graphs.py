"""What an ONNX file would have its runtime do, read from its bytes before any runtime sees them.

The file is a protocol buffer. Only the fields that decide are followed: operator sets, operators,
subgraphs, and tensors that are kept in other files.
"""

from collections.abc import Iterator, Set

import msgspec

from streams.errors import InputError

DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))
"""Operator sets that the runtime brings itself; quantised files use the last."""

FORBIDDEN = frozenset(("EPContext", "PyOp", "PythonOp"))
"""Operators of these sets that open files or call code of elsewhere."""

MAX_DEPTH = 32
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Where messages nest: field numbers of onnx.proto3, by message.
_INNER: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_TRAINING = 20  # of a model: graphs that only training runs


class Graph(msgspec.Struct, frozen=True):
    """What a file asks its runtime for."""

    domains: frozenset[str]
    operators: frozenset[str]
    external: frozenset[str]  # files of tensors, as the file names them


def read_graph(content: bytes) -> Graph:
    """What `content` asks for; InputError when it is no ONNX file."""
    try:
        parts = list(_walk(memoryview(content), "model", 0))
    except (ValueError, IndexError) as error:
        raise InputError(
            f"not an ONNX file: {error}", field="onnx", fix="export the model again"
        ) from error
    if not any(kind == "graph" for kind, _ in parts):
        raise InputError("not an ONNX file: it holds no graph", field="onnx")
    found: dict[str, set[str]] = {"domain": set(), "operator": set(), "external": set()}
    for kind, text in parts:
        if kind in found:
            found[kind].add(text)
    return Graph(*(frozenset(found[kind]) for kind in ("domain", "operator", "external")))


def check(graph: Graph, *, files: Set[str]) -> None:
    """Raises InputError unless the runtime alone, with `files` beside the graph, can run it."""
    if foreign := sorted(graph.domains - DOMAINS):
        raise InputError(
            f"operators of {', '.join(map(repr, foreign))} are not run", field="onnx",
            rule="operator sets", why=f"allowed: {', '.join(sorted(filter(None, DOMAINS)))}",
            fix="export with standard operators",
        )  # fmt: skip
    if forbidden := sorted(graph.operators & FORBIDDEN):
        raise InputError(
            f"the operator {', '.join(forbidden)} is not run", field="onnx", rule="operators",
            why="it opens files or calls code of elsewhere", fix="export with standard operators",
        )  # fmt: skip
    if outside := sorted(graph.external - files):
        raise InputError(
            f"tensors are kept in {outside[0]!r}, which the version does not bring", field="onnx",
            rule="external data", why="a model must not read files of the machine that runs it",
            fix="export into one file, or name the file under data and add it",
        )  # fmt: skip


def _walk(content: memoryview, message: str, depth: int) -> Iterator[tuple[str, str]]:
    """(kind, text) of everything that decides, in `content` and all that it nests."""
    if depth > MAX_DEPTH:
        raise ValueError(f"graphs are nested deeper than {MAX_DEPTH}")
    entry = {"key": "", "value": ""}
    for number, value in _fields(content):
        inner = _INNER.get(message, {}).get(number)
        if message == "model" and number == _TRAINING:
            raise ValueError("it holds a training graph")
        if inner is not None and not isinstance(value, int):
            if inner == "graph":
                yield "graph", ""
            yield from _walk(value, inner, depth + 1)
        elif not isinstance(value, int) and (told := _TOLD.get((message, number))):
            if told in entry:
                entry[told] = str(value, "utf-8")
            else:
                yield told, str(value, "utf-8")
    if entry["key"] == "location":
        yield "external", entry["value"]


_TOLD = {
    ("opset", 1): "domain",
    ("node", 4): "operator",
    ("node", 7): "domain",
    ("entry", 1): "key",
    ("entry", 2): "value",
}


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(number, value) of each field of a message; ValueError when it is cut or none."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire not in (FIXED64, BYTES, FIXED32):
            raise ValueError(f"byte {at} begins no field")
        size = 8 if wire == FIXED64 else 4
        if wire == BYTES:
            size, at = _varint(content, at)
        if at + size > len(content):
            raise ValueError(f"it is cut at byte {len(content)}")
        if wire == BYTES:
            yield number, content[at : at + size]
        at += size


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError(f"byte {at} ends no number")
