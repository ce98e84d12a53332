"""Features become the inputs that a version takes, or it is said which do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import ports
from streams.errors import InputError
from streams.frames import Port

WIDE = [Port("X", "tensor(float)", (None, 3))]
EACH = [
    Port("links", "tensor(float)", (None, 1)),
    Port("country", "tensor(string)", (None,)),
    Port("seen", "tensor(bool)", (None, 1)),
    Port("count", "tensor(int64)", (None, 1)),
]
ROW = {"links": 2, "country": "BR", "seen": True, "count": 7, "other": "x"}


def test_named_features_fill_one_input_in_their_order():
    layout = ports.layout(WIDE, ("c", "a", "b"))

    arrays, faults = layout.arrays([{"a": 1, "b": 2.5, "c": True}, {"a": 4, "b": None, "c": 6}])

    assert arrays["X"].dtype == np.float32
    assert arrays["X"].tolist()[0] == [1, 1, 2.5]
    assert np.isnan(arrays["X"][1]).tolist() == [False, False, True]
    assert faults == {}


@given(
    st.lists(
        st.fixed_dictionaries(
            {name: st.booleans() | st.integers(-99, 99) | st.floats(-9, 9, width=32)
             for name in "abc"}
        ),
        min_size=1,
        max_size=5,
    )
)  # fmt: skip
def test_rows_are_filled_alike_together_and_beside_one_that_cannot_be(rows):
    layout = ports.layout(WIDE, ("c", "a", "b"))

    together, _ = layout.arrays(rows)
    beside, faults = layout.arrays([*rows, None])

    assert np.array_equal(together["X"], beside["X"][:-1])
    assert list(faults) == [len(rows)]


def test_inputs_that_are_named_as_features_take_them():
    arrays, faults = ports.layout(EACH, ()).arrays([ROW, ROW])

    assert {name: array.shape for name, array in arrays.items()} == {
        "links": (2, 1), "country": (2,), "seen": (2, 1), "count": (2, 1),
    }  # fmt: skip
    assert arrays["country"].tolist() == ["BR", "BR"]
    assert (arrays["count"].dtype, arrays["seen"].dtype) == (np.int64, bool)
    assert faults == {}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (None, "carries no features"),
        ({}, "carries no feature 'links'"),
        (ROW | {"links": "many"}, "feature 'links' is str, the version takes a number"),
        (ROW | {"country": 5}, "feature 'country' is int, the version takes text"),
        (ROW | {"country": None}, "feature 'country' is null"),
        (ROW | {"count": None}, "feature 'count' is null, the version takes a whole number"),
    ],
)
def test_a_row_that_is_no_input_is_told_and_costs_no_other(row, fault):
    arrays, faults = ports.layout(EACH, ()).arrays([ROW, row, ROW])

    assert list(faults) == [1]
    assert fault in faults[1]
    assert arrays["links"][[0, 2]].tolist() == [[2], [2]]


@pytest.mark.parametrize(
    ("given", "inputs", "said"),
    [
        (WIDE, (), "takes several features, and none are named"),
        (WIDE, ("a", "b"), "takes 3 features, 2 are named"),
        (EACH, ("links",), "it has others"),
        ([Port("X", "seq(tensor(float))", (None,))], (), "which features cannot fill"),
        ([Port("image", "tensor(float)", (None, 3, 8, 8))], (), "takes several features"),
    ],
)
def test_a_version_whose_inputs_are_not_explained_is_refused(given, inputs, said):
    with pytest.raises(InputError, match=said) as caught:
        ports.layout(given, inputs)
    assert "inputs: [feature" in caught.value.fix


def test_a_feature_that_nobody_declares_is_told():
    with pytest.raises(InputError, match="'lnks'") as caught:
        ports.undeclared(ports.layout(WIDE, ("lnks", "a", "b")), ["links", "a", "b"])
    assert caught.value.fix == "did you mean links?"
