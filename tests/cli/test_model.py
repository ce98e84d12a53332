"""`penstock model` on versions: what they bring, how they differ, and thresholds."""

import pytest

from tests.cli.conftest import written
from tests.rollout.versions import SAMPLE, softmax
from tests.rollout.versions import written as written_files

SPAM = ("model: spam", "task: classification", "classes: [ham, spam]", "owner: ann")
WORDS = ("onnx: model.onnx", "dataset: mail@3", "hyperparameters: {lr: 0.1}", "seed: 7",
         "commit: 3fae2c9")  # fmt: skip


@pytest.fixture
def spam(installed, tmp_path):
    installed("model", "register", "-f", str(written(tmp_path / "m.yaml", *SPAM)))
    written(tmp_path / "model.onnx", "graph")
    return installed


def added(spam, tmp_path, label, *words):
    file = written(tmp_path / "version.yaml", *words)
    return spam("model", "add-version", "spam", label, "-f", str(file), "-o", "json")


def test_a_described_version_brings_its_files_and_attests_lineage(spam, tmp_path):
    assert added(spam, tmp_path, "v1", *WORDS).code == 0

    (found,) = spam("model", "versions", "spam", "-o", "json").json

    assert (found["attestation"], found["lacks"]) == ("lineage", ["a passed parity check"])
    assert [file["name"] for file in found["files"]] == ["model.onnx"]
    assert "lineage" in spam("model", "versions", "spam").out


def test_a_difference_names_each_field(spam, tmp_path):
    added(spam, tmp_path, "v1", *WORDS)
    assert added(spam, tmp_path, "v2", *WORDS[:3], "seed: 8", "commit: 3fae2c9").code == 0

    found = spam("model", "diff", "spam", "v1", "v2", "-o", "json").json

    assert {"field": "seed", "before": 7, "after": 8} in found
    assert {each["field"] for each in found} == {"seed", "digest"}


def test_other_words_under_one_label_are_refused(spam, tmp_path):
    added(spam, tmp_path, "v1", *WORDS)

    refused = added(spam, tmp_path, "v1", *WORDS[:3], "seed: 8", "commit: 3fae2c9")

    assert (refused.code, "immutable" in refused.err) == (5, True)


def test_a_file_that_is_not_beside_its_description_is_named(spam, tmp_path):
    refused = added(spam, tmp_path, "v1", "onnx: other.onnx")

    assert (refused.code, "other.onnx" in refused.err) == (1, True)


def test_thresholds_are_set_by_a_revision_and_shown(spam):
    assert spam("model", "threshold", "spam", "-o", "json").json == []

    told = spam("model", "threshold", "spam", "night=0.8", "default=0.5", "-o", "json").json
    kept = spam("model", "threshold", "spam", "-o", "json").json

    assert told == kept
    assert told == [
        {"scenario": "default", "threshold": 0.5},
        {"scenario": "night", "threshold": 0.8},
    ]
    assert spam("model", "list", "-o", "json").json[0]["revisions"] == 2


@pytest.mark.parametrize("pair", ["night", "night=1.2", "=0.5", "night=nan", "night=x"])
def test_a_threshold_that_cannot_be_is_refused(spam, pair):
    refused = spam("model", "threshold", "spam", pair)

    assert (refused.code, "default=0.7" in refused.err) == (1, True)


def test_parity_is_kept_beside_the_version_and_told(spam, tmp_path):
    written_files(tmp_path, reference={"X": SAMPLE, "Y": softmax(SAMPLE)})
    words = (*WORDS, "reference: reference.npz", "inputs: [links, length, age]")
    added(spam, tmp_path, "v1", *words)

    said = spam("model", "parity", "spam", "v1", "--rows", "8")

    assert said.code == 0, said.err
    assert "spam v1 passed: 12 rows (8 random, seed 0), against reference" in said.out
    (found,) = spam("model", "versions", "spam", "-o", "json").json
    assert (found["attestation"], found["parity"], found["lacks"]) == ("full", True, [])


def test_parity_that_fails_is_exit_code_1_and_full_is_not_attested(spam, tmp_path):
    written_files(tmp_path, reference={"X": SAMPLE, "Y": 1 - softmax(SAMPLE)})
    words = (*WORDS, "reference: reference.npz", "inputs: [links, length, age]")
    added(spam, tmp_path, "v1", *words)

    said = spam("model", "parity", "spam", "v1", "-o", "json")

    assert (said.code, said.json["passed"]) == (1, False)
    (found,) = spam("model", "versions", "spam", "-o", "json").json
    assert (found["attestation"], found["lacks"]) == ("lineage", ["a passed parity check"])
