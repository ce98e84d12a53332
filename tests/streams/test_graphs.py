"""What an ONNX file asks its runtime for is known before the runtime sees it."""

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from streams import graphs
from streams.errors import InputError
from tests.streams import onnx_files

LOOP = onnx_files.looping(3)


def checked(made: onnx.ModelProto, *files: str) -> None:
    graphs.check(graphs.read_graph(made.SerializeToString()), files=set(files))


def test_a_graph_tells_its_operators_those_of_subgraphs_too():
    graph = graphs.read_graph(LOOP.SerializeToString())

    assert graph.operators == {"Loop", "Identity", "Add"}
    assert graph.domains == {""}
    assert graph.external == frozenset()


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "other.bin", "W/../../x"])
def test_tensors_in_files_that_the_version_does_not_bring_are_refused(location, inside):
    with pytest.raises(InputError, match="which the version does not bring"):
        checked(onnx_files.reading(location, inside=inside), "weights.bin")


@pytest.mark.parametrize("inside", [False, True])
def test_tensors_in_files_of_the_version_are_taken(inside):
    checked(onnx_files.reading("weights.bin", inside=inside), "weights.bin")


def test_operators_of_others_are_refused():
    opsets = (*onnx_files.OPSETS, helper.make_opsetid("evil.corp", 1))

    with pytest.raises(InputError, match=r"'evil\.corp' are not run"):
        checked(onnx_files.one("Steal", domain="evil.corp", opsets=opsets))


def test_operators_that_open_files_are_refused():
    opsets = (*onnx_files.OPSETS, helper.make_opsetid("com.microsoft", 1))

    with pytest.raises(InputError, match="EPContext"):
        checked(onnx_files.one("EPContext", domain="com.microsoft", opsets=opsets))


def test_functions_of_the_model_are_looked_into():
    made = onnx_files.one("Relu")
    function = helper.make_function(
        "", "Own", ["x"], ["y"], [helper.make_node("Steal", ["x"], ["y"], domain="evil.corp")],
        [helper.make_opsetid("evil.corp", 1)],
    )  # fmt: skip
    made.functions.append(function)

    with pytest.raises(InputError, match=r"evil\.corp"):
        checked(made)


def test_training_graphs_are_refused():
    made = onnx_files.one("Relu")
    made.training_info.add().algorithm.CopyFrom(LOOP.graph)

    with pytest.raises(InputError, match="training"):
        checked(made)


def test_graphs_nested_without_end_are_refused():
    made = onnx_files.one("Relu")
    for _ in range(20):
        outer = onnx_files.one("Relu")
        outer.graph.node[0].attribute.append(helper.make_attribute("body", made.graph))
        made = outer

    with pytest.raises(InputError, match="nested deeper"):
        checked(made)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"hello world", b"\x08\x0a"])
def test_what_is_no_onnx_file_is_told(content):
    with pytest.raises(InputError, match="not an ONNX file"):
        graphs.read_graph(content)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_read_or_refused(content):
    try:
        graphs.read_graph(content)
    except InputError:
        return


@given(st.data())
def test_a_damaged_file_is_read_or_refused(data):
    content = bytearray(LOOP.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))

    try:
        graphs.read_graph(bytes(content[:cut]))
    except InputError:
        return
