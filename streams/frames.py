"""What a scorer and the child that runs the model say to each other over pipes.

A frame is its length in 8 bytes, big-endian, then MessagePack. Arrays travel as their bytes.
"""

import struct
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

HEAD = struct.Struct(">Q")
MAX_BYTES = 1 << 30
Array = npt.NDArray[Any]
TYPES = {
    "tensor(float)": "<f4", "tensor(double)": "<f8", "tensor(float16)": "<f2",
    "tensor(int64)": "<i8", "tensor(int32)": "<i4", "tensor(int16)": "<i2", "tensor(int8)": "<i1",
    "tensor(uint8)": "|u1", "tensor(bool)": "|b1", "tensor(string)": "str",
}  # fmt: skip
"""ONNX's types and ours: numpy's, and `str`."""


class Column(msgspec.Struct, frozen=True):
    """One array with its name; texts of a `str` array in C order."""

    name: str
    dtype: str
    shape: tuple[Annotated[int, Meta(ge=0)], ...]
    data: bytes = b""
    texts: tuple[str, ...] = ()


class Port(msgspec.Struct, frozen=True):
    """One input or output; a dimension that the model leaves open is None."""

    name: str
    type: str
    shape: tuple[int | None, ...]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


class Scored(msgspec.Struct, frozen=True, tag="scored"):
    """What the model answered; `took_us` is its own time."""

    outputs: tuple[Column, ...]
    took_us: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Why there is no answer."""

    kind: str
    reason: str


Said = Ready | Scored | Failed
decode_said = msgspec.msgpack.Decoder(Said).decode
decode_asked = msgspec.msgpack.Decoder(tuple[Column, ...]).decode


def framed(value: Any) -> bytes:
    """`value` as a frame."""
    body = msgspec.msgpack.encode(value)
    return HEAD.pack(len(body)) + body


def column(name: str, array: Array) -> Column:
    """`array` as it travels; text arrays as texts."""
    if array.dtype.kind in "OUS":
        texts = tuple(str(each) for each in array.ravel().tolist())
        return Column(name, "str", array.shape, texts=texts)
    dtype = array.dtype.newbyteorder("<")
    return Column(name, dtype.str, array.shape, array.astype(dtype, copy=False).tobytes())


def array(column: Column) -> Array:
    """The array again; ValueError when its bytes are not those of its shape."""
    if column.dtype == "str":
        return np.array(column.texts, dtype=object).reshape(column.shape)
    if column.dtype not in TYPES.values():
        raise ValueError(f"{column.dtype[:20]!r} is no type of numbers")
    return np.frombuffer(column.data, dtype=column.dtype).reshape(column.shape)
