"""The forms of a version answer alike, or the report says which does not, where and by how much."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rollout import parity, parity_runs
from rollout.parity import Report
from streams.bundles import Tolerances
from streams.errors import ConfigError, InputError
from streams.outputs import answers
from tests.rollout import versions
from tests.rollout.versions import BIAS, SAMPLE, SPAM, WEIGHTS, softmax, stored, written
from tests.streams import onnx_files

GOOD = {"X": SAMPLE, "Y": softmax(SAMPLE)}
ROWS = arrays(np.float64, (7, 2), elements=st.floats(-1e6, 1e6))


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """Times are not what most of these tests are about."""
    monkeypatch.setattr(parity_runs, "TIMING_S", 0.01)


def checked(tmp_path, **fields) -> Report:
    root, version = stored(tmp_path, **fields)
    return parity_runs.check(root, version, SPAM, random_rows=64)


@given(ROWS, ROWS)
def test_differences_are_symmetric_and_none_from_itself(one, other):
    def gap(a, b):
        (found,) = parity.compared({"y": a}, {"y": b}, forms=("torch", "onnx"), tolerance=1)
        return found

    assert gap(one, other).max_abs == gap(other, one).max_abs == np.abs(one - other).max()
    assert gap(one, other).p99_abs <= gap(one, other).max_abs
    assert gap(one, one).max_abs == 0
    assert gap(one, other).passed == (np.abs(one - other).max() <= 1)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_is_infinitely_far(wrong):
    one = np.array([[0.5], [wrong]])

    (found,) = parity.compared({"y": one}, {"y": one}, forms=("torch", "onnx"), tolerance=1e9)

    assert (found.max_abs, found.passed) == (math.inf, False)


def test_another_shape_and_a_missing_output_are_infinitely_far():
    one = {"a": np.zeros((3, 1)), "b": np.zeros(3)}

    found = parity.compared(one, {"a": np.zeros(3)}, forms=("torch", "onnx"), tolerance=1)

    assert [each.max_abs for each in found] == [math.inf, math.inf]


def test_decisions_are_held_against_each_other_at_every_threshold():
    before = answers({"y": np.array([0.2, 0.7, 0.79])}, SPAM)
    after = answers({"y": np.array([0.2, 0.7, 0.81])}, SPAM)

    found = parity.decided(before, after, SPAM.thresholds, forms=("torch", "onnx"), flips=0)
    lax = parity.decided(before, after, SPAM.thresholds, forms=("torch", "onnx"), flips=0.34)

    assert [(d.scenario, d.differ, d.passed) for d in found] == [
        ("default", 0, True), ("night", 1, False),
    ]  # fmt: skip
    assert all(d.passed for d in lax)


def test_a_file_that_answers_as_its_source_did_passes(tmp_path):
    written(tmp_path, reference=GOOD)

    report = checked(tmp_path)

    assert report.passed, report
    assert (report.source, report.rows, report.dynamic_batch) == ("reference", 68, True)
    assert report.comparisons[0].max_abs < 1e-6
    assert [d.differ for d in report.decisions] == [0, 0]
    assert [(t.form, t.batch) for t in report.timings] == [("onnx", b) for b in (1, 8, 32, 128)]
    assert all(0 < t.model_p50_ms <= t.total_p99_ms and t.rows_per_s > 0 for t in report.timings)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_a_file_with_other_weights_does_not(tmp_path):
    written(tmp_path, reference={"X": SAMPLE, "Y": softmax(SAMPLE, WEIGHTS * 1.01)})

    report = checked(tmp_path)

    assert not report.passed
    assert report.comparisons[0].max_abs > 1e-4
    assert checked(tmp_path, parity=Tolerances(onnx=0.1)).passed


def test_a_quantised_file_is_held_against_the_onnx_file(tmp_path):
    near = onnx_files.linear(np.round(WEIGHTS * 16) / 16, BIAS)
    written(tmp_path, reference=GOOD, quantised=near)
    close = checked(tmp_path)

    written(tmp_path, reference=GOOD, quantised=onnx_files.linear(-WEIGHTS, BIAS))
    far = checked(tmp_path)

    assert close.passed
    assert {(c.before, c.after) for c in close.comparisons} == {
        ("reference", "onnx"), ("onnx", "quantised"),
    }  # fmt: skip
    assert not far.passed
    assert any(d.after == "quantised" and d.differ > 0 for d in far.decisions)


def test_a_file_of_a_fixed_batch_does_not_pass(tmp_path):
    made = onnx_files.linear(WEIGHTS, BIAS)
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 68
    written(tmp_path, reference=GOOD, made=made)

    report = checked(tmp_path)

    assert not report.passed
    assert not report.dynamic_batch
    assert any("batch" in fault for fault in report.faults)


def test_a_file_whose_rows_depend_on_each_other_does_not_pass(tmp_path):
    made = onnx_files.linear(WEIGHTS, BIAS)
    made.graph.node[1].attribute[0].i = 0  # softmax over the batch instead of the classes
    written(tmp_path, made=made, reference=GOOD)

    assert not checked(tmp_path, parity=Tolerances(onnx=0.9)).dynamic_batch


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (onnx_files.one("Log"), "NaN"),
        (onnx_files.greedy(10**9), "spam v42"),
    ],
    ids=["nan", "memory"],
)
def test_a_file_that_does_not_answer_is_a_fault_of_the_report(tmp_path, made, said):
    written(tmp_path, made=made, reference={"X": SAMPLE - 1, "Y": SAMPLE})

    report = checked(tmp_path)

    assert not report.passed
    assert any(said in fault for fault in report.faults)


def test_text_inputs_are_checked_on_the_reference_alone(tmp_path):
    made = onnx_files.one("Identity")
    for port in (*made.graph.input, *made.graph.output):
        port.type.tensor_type.elem_type = onnx_files.TensorProto.STRING
    texts = np.array([["a", "b", "c"], ["d", "e", "f"]])
    written(tmp_path, made=made, reference={"X": texts, "Y": texts})

    report = checked(tmp_path)

    assert report.comparisons[0].passed
    assert report.random_rows == 0
    assert report.notes[0].startswith("no random rows")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"Z": SAMPLE, "Y": SAMPLE}, "holds no array 'X'"),
        ({"X": SAMPLE}, "no output"),
        ({"X": SAMPLE, "Y": SAMPLE[:2]}, "different numbers of rows"),
        ({"X": SAMPLE[:0], "Y": SAMPLE[:0]}, "or none"),
        ({"X": SAMPLE, "Y": np.array([{}] * 4)}, "cannot be read"),
    ],
)
def test_a_reference_that_cannot_be_used_is_told(tmp_path, reference, said):
    written(tmp_path, reference=reference)

    with pytest.raises(InputError, match=said) as caught:
        checked(tmp_path)
    assert "np.savez" in caught.value.fix


def test_a_version_with_nothing_to_be_held_against_is_told(tmp_path):
    written(tmp_path)
    with pytest.raises(InputError, match="nothing to hold"):
        checked(tmp_path)
    (tmp_path / "weights.pt").write_bytes(b"weights")
    with pytest.raises(InputError, match="nothing to hold"):
        checked(tmp_path, checkpoint="weights.pt")


def test_a_torch_program_without_torch_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    written(tmp_path)
    (tmp_path / "model.pt2").write_bytes(b"program")

    with pytest.raises(ConfigError, match="torch is not installed") as caught:
        checked(tmp_path)
    assert "penstock[torch]" in caught.value.fix


def test_random_rows_are_the_same_for_the_same_seed_and_within_what_is_declared():
    from rollout.samples import random_inputs
    from streams.frames import Port
    from streams.ports import layout

    wanted = layout([Port("X", "tensor(float)", (None, 3))], versions.FEATURES)

    one, again, other = (
        random_inputs(wanted, SPAM.features, rows=500, seed=seed)["X"] for seed in (1, 1, 2)
    )

    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert 0 <= one.min() < 0.1
    assert 1.9 < one.max() <= 2
