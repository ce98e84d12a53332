"""PostgreSQL's binary COPY, written from columns: the same bytes as value by value."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.db import binary

TYPES = ("int2", "bytea", "int8", "float8", "int4")
PACKED = {"int2": ">h", "int4": ">i", "int8": ">q", "float8": ">d"}

rows = st.lists(
    st.tuples(
        st.integers(-(2**15), 2**15 - 1),
        st.binary(min_size=16, max_size=16),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.integers(-(2**31), 2**31 - 1),
    ),
    min_size=1,
    max_size=8,
)


def columns(of):
    small, ids, *optional = zip(*of, strict=True)
    reals = [np.int64, np.float64, np.int64]
    return [
        np.array(small),
        np.frombuffer(b"".join(ids), "V16"),
        *(
            np.ma.masked_array(
                [0 if v is None else v for v in values], [v is None for v in values], kind
            )
            for values, kind in zip(optional, reals, strict=True)
        ),
    ]


def value_by_value(of):
    found = b""
    for row in of:
        found += struct.pack(">h", len(row))
        for value, name in zip(row, TYPES, strict=True):
            if value is None:
                found += struct.pack(">i", -1)
            else:
                body = value if name == "bytea" else struct.pack(PACKED[name], value)
                found += struct.pack(">i", len(body)) + body
    return found


@given(rows)
def test_columns_are_written_as_their_rows_are(of):
    assert binary.encoded(columns(of), TYPES) == value_by_value(of)


@pytest.mark.parametrize(("value", "name"), [(2**15, "int2"), (-(2**31) - 1, "int4")])
def test_a_number_that_does_not_fit_is_never_cut(value, name):
    with pytest.raises(OverflowError, match="do not fit"):
        binary.encoded([np.array([0, value])], [name])
