"""Columns as PostgreSQL's binary COPY takes them, without an object for each value.

A row is a count of fields, and of each field its size and its bytes, big-endian; NULL has size -1
and no bytes. So rows are records of one width, out of which the places of NULLs are cut.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
TRAILER = b"\xff\xff"
NULL_SIZE = -1
TYPES: Mapping[str, str] = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "float8": ">f8"}


def encoded(columns: Sequence[Column], types: Sequence[str]) -> bytes:
    """The rows of these columns; HEADER goes before them and TRAILER behind.

    Args:
        columns: of one length. A masked value is NULL; a column of bytes is of a void dtype.
        types: PostgreSQL's name of each column's type.

    Raises:
        OverflowError: a number does not fit its type.
    """
    rows = np.empty(len(columns[0]), _layout(columns, types))
    rows["fields"] = len(columns)
    nulls: dict[str, Bools] = {}  # of columns in which some values are
    for k, column in enumerate(columns):
        field, size = f"value{k}", f"size{k}"
        if field not in (rows.dtype.names or ()):
            rows[size] = NULL_SIZE
            continue
        into = rows.dtype[field]
        _refuse_overflow(column, into)
        rows[field] = np.ma.getdata(column)
        rows[size] = into.itemsize
        if np.ma.is_masked(column):
            nulls[field] = np.ma.getmaskarray(column)
            rows[size][nulls[field]] = NULL_SIZE
    return _without(rows, nulls) if nulls else rows.tobytes()


def _layout(columns: Sequence[Column], types: Sequence[str]) -> np.dtype[np.void]:
    """A record for each row; a column of nothing but NULL has a size alone."""
    fields = [("fields", ">i2")]
    for k, (column, name) in enumerate(zip(columns, types, strict=True)):
        fields.append((f"size{k}", ">i4"))
        if not np.ma.getmaskarray(column).all():
            fields.append((f"value{k}", TYPES.get(name, column.dtype.str)))
    return np.dtype(fields)


def _refuse_overflow(column: Column, into: np.dtype[Any]) -> None:
    if into.kind == "i" and into.itemsize < column.dtype.itemsize:
        low, high = column.min(), column.max()
        if low < np.iinfo(into).min or high > np.iinfo(into).max:
            raise OverflowError(f"{low} to {high} do not fit {into.itemsize} bytes")


def _without(rows: npt.NDArray[np.void], nulls: Mapping[str, Bools]) -> bytes:
    """The bytes of these rows, but for the values that are NULL."""
    kept = np.ones((len(rows), rows.dtype.itemsize), bool)
    for field, null in nulls.items():
        value, at = rows.dtype.fields[field][:2]  # type: ignore[index]  # records have fields
        kept[null, at : at + value.itemsize] = False
    return rows.view(np.uint8).reshape(kept.shape)[kept].tobytes()
