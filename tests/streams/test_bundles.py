"""What a version brings is one digest, and attests what is there."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import bundles
from streams.bundles import Bundle, attestation, identity, missing, read_bundle
from streams.errors import InputError
from streams.files import Stored

GRAPH = Stored("model.onnx", "a" * 64, 10)
WEIGHTS = Stored("model.pt2", "b" * 64, 10)
WHOLE = Bundle(
    onnx="model.onnx",
    checkpoint="model.pt2",
    hyperparameters={"lr": 0.001},
    seed=7,
    dataset="mail@3",
    commit="3fae2c9",
)
YAML = b"""
onnx: model.onnx
hyperparameters: {lr: 0.001, layers: [64, 32], warm: true, optimizer: adam, note: "1.10.2"}
seed: 7
dataset: mail-2025-06@3
commit: 3fae2c9
"""
JSON = b"""{"commit": "3fae2c9", "seed": 7, "onnx": "model.onnx", "dataset": "mail-2025-06@3",
"hyperparameters": {"note": "1.10.2", "optimizer": "adam", "layers": [64, 32], "warm": true,
"lr": 0.001}}"""


def test_a_lone_file_without_a_word_has_its_own_digest():
    assert identity((GRAPH,), Bundle()) == GRAPH.digest
    assert identity((GRAPH,), bundles.alone((GRAPH,))) == GRAPH.digest
    assert identity((), Bundle()) is None
    assert identity((), Bundle(), weights="c" * 64) == "c" * 64


@pytest.mark.parametrize(
    "change",
    [
        {"hyperparameters": {"lr": 0.002}},
        {"hyperparameters": {}},
        {"seed": 8},
        {"dataset": "mail@4"},
        {"commit": "3fae2c8"},
        {"inputs": ("links",)},
        {"activation": "softmax"},
        {"checkpoint": None},
        {"preprocessing": "model.pt2"},
    ],
    ids=str,
)
def test_every_part_of_it_is_in_the_digest(change):
    other = msgspec.structs.replace(WHOLE, **change)

    assert identity((GRAPH, WEIGHTS), other) != identity((GRAPH, WEIGHTS), WHOLE)


def test_what_stays_elsewhere_is_in_the_digest():
    assert identity((), WHOLE, weights="c" * 64) != identity((), WHOLE, weights="d" * 64)


def test_what_is_said_for_people_and_asked_of_it_is_not():
    other = msgspec.structs.replace(
        WHOLE, description="better", parity=bundles.Tolerances(onnx=1e-3)
    )

    assert identity((GRAPH, WEIGHTS), other) == identity((GRAPH, WEIGHTS), WHOLE)


@given(st.permutations([GRAPH, WEIGHTS, Stored("tok.json", "c" * 64, 3)]))
def test_the_order_of_files_changes_nothing(files):
    ordered = sorted(files, key=lambda file: file.name)

    assert identity(files, WHOLE) == identity(ordered, WHOLE)
    assert identity(files, Bundle()) == identity(ordered, Bundle())


def test_yaml_and_json_that_say_the_same_are_the_same():
    assert read_bundle(YAML) == read_bundle(JSON)
    said = read_bundle(YAML).hyperparameters
    assert said == {
        "lr": 0.001, "layers": (64, 32), "warm": True, "optimizer": "adam", "note": "1.10.2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gone", "lacks"),
    [
        ("dataset", ["dataset"]),
        ("commit", ["commit"]),
        ("seed", ["seed"]),
        ("hyperparameters", ["hyperparameters"]),
    ],
)
def test_lineage_asks_for_each_of_its_parts(gone, lacks):
    empty = "" if isinstance(getattr(WHOLE, gone), str) else None
    bundle = msgspec.structs.replace(WHOLE, **{gone: empty})

    assert attestation(bundle, digest="a" * 64, parity=True) == "none"
    assert missing(bundle, digest="a" * 64, parity=True)["lineage"] == lacks


@pytest.mark.parametrize(
    ("onnx", "parity", "level", "lacks"),
    [
        ("model.onnx", True, "full", []),
        ("model.onnx", False, "lineage", ["a passed parity check"]),
        ("model.onnx", None, "lineage", ["a passed parity check"]),
        (None, True, "lineage", ["onnx"]),
    ],
)
def test_full_asks_for_an_onnx_file_and_a_check_that_passed(onnx, parity, level, lacks):
    bundle = msgspec.structs.replace(WHOLE, onnx=onnx)

    assert attestation(bundle, digest="a" * 64, parity=parity) == level
    assert missing(bundle, digest="a" * 64, parity=parity)["full"] == lacks


def test_words_without_weights_attest_nothing():
    assert attestation(WHOLE, digest=None, parity=None) == "none"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"onnx: ../../etc/passwd", "version.yaml, line 1: onnx: '../../etc/passwd' is not"),
        (b"seed: 1\ndata: [a, .hidden]", r"line 2: data\[1\]: '.hidden' is not"),
        (b"onx: model.onnx", "onx: this field is unknown"),
        (b"commit: main", "commit: 'main' is not written"),
        (b"inputs: [a, b, a]", "inputs: a feature is named twice"),
        (b"activation: relu", "activation: 'relu' is not a word"),
        (b"seed: seven", "seed"),
        (b"parity: {onnx: -1}", "parity.onnx"),
    ],
)
def test_a_mistake_is_named_with_its_line(text, said):
    with pytest.raises(InputError, match=said):
        read_bundle(text, name="version.yaml")


def test_a_file_that_is_named_and_not_brought_is_an_error():
    with pytest.raises(InputError, match="checkpoint: the version brings no file") as caught:
        bundles.require_files((GRAPH,), WHOLE)
    assert caught.value.field == "checkpoint"


def test_a_difference_is_told_by_the_innermost_field():
    one = {"seed": 7, "hyperparameters": {"lr": 0.1, "layers": [1]}, "files": {}}
    other = {"seed": 7, "hyperparameters": {"lr": 0.2, "layers": [1], "warm": True}, "files": {}}

    assert bundles.difference(one, other) == [
        {"field": "hyperparameters.lr", "before": 0.1, "after": 0.2},
        {"field": "hyperparameters.warm", "before": None, "after": True},
    ]
    assert bundles.difference(one, one) == []
