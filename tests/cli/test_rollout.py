"""penstock rollout, on files and on an installation."""

import pytest

from tests.cli.conftest import written
from tests.rollout.examples import FOLDER, FRAUD, GONE, edited

SPEC, MODEL = FOLDER / "rollout.yaml", FOLDER / "model.yaml"
LINEAGE = ("dataset: fraud@3", "hyperparameters: {depth: 6}", "seed: 7", "commit: 3fae2c9")


@pytest.fixture
def fraud(installed, tmp_path):
    """An installation that knows the example's model and its versions, with their lineage."""
    installed("model", "register", "-f", str(MODEL))
    words = written(tmp_path / "version.yaml", *LINEAGE)
    for label in ("41", "42"):
        weights = ("--digest", label[-1] * 64)
        installed("model", "add-version", "fraud-scorer", label, "-f", str(words), *weights)
    return installed


def test_a_spec_is_held_against_a_declaration_without_an_installation(penstock, data_dir):
    said = penstock("rollout", "lint", str(SPEC), "--model", str(MODEL))

    assert said.code == 0
    assert "paired difference; rolls back; holds shadow, canary" in said.out
    assert "0.00417 for each of 3 guardrails x (1 + 1 protected slices) x 2 paths" in said.out
    assert "errors: 0, warnings: 0, sha256:" in said.out
    assert not data_dir.exists()


def test_without_a_model_that_is_said(penstock):
    said = penstock("rollout", "lint", str(SPEC))

    assert said.code == 0
    assert "note: not held against a declaration" in said.out


def test_an_error_is_exit_code_1_with_line_and_fix(penstock, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(FRAUD.replace(b"from: audit", b"from: audti"))
    line = 1 + next(k for k, text in enumerate(FRAUD.splitlines()) if b"from: audit" in text)

    said = penstock("rollout", "lint", str(path))

    assert said.code == 1
    assert f"r.yaml:{line}: error: spec.metrics[4].from: 'audti' is not a word of this" in said.out
    assert "next:  did you mean audit?" in said.out


def test_the_report_is_one_object_with_the_same_findings(penstock, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(edited(("metrics.errors.margin", GONE), ("stages.full.full.keepWarm", "no")))
    said = penstock("rollout", "lint", str(path), "-o", "json")
    assert (said.code, [f["field"] for f in said.json["findings"]]) == (
        1, ["spec.stages[5].full.keepWarm"],
    )  # fmt: skip

    path.write_bytes(edited(("metrics.errors.margin", GONE)))
    said = penstock("rollout", "lint", str(path), "-o", "json")

    (finding,) = said.json["findings"]
    assert (said.code, said.json["ok"], said.json["digest"]) == (1, False, None)
    assert (finding["level"], finding["field"]) == ("error", "spec.metrics[1]")


def test_registered_model_and_versions_are_used(fraud, tmp_path):
    assert fraud("rollout", "lint", str(SPEC)).code == 0
    path = tmp_path / "r.yaml"
    path.write_bytes(edited(("challengers.0.version", "43"), ("metrics.misses.matures", "15d")))

    said = fraud("rollout", "lint", str(path))

    assert said.code == 1
    assert "has no version '43'" in said.out
    assert "waits 14d for outcome labels, not 15d" in said.out


def test_a_model_that_is_not_registered_is_an_error(installed):
    said = installed("rollout", "lint", str(SPEC))

    assert said.code == 1
    assert "penstock model register" in said.out


def test_a_file_that_is_not_there_is_an_error(penstock):
    said = penstock("rollout", "lint", "none.yaml")

    assert (said.code, said.out) == (1, "")
    assert "No such file" in said.err
