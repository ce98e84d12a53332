"""The ONNX file against the torch program that it was exported from."""

import io
import os
import zipfile

import pytest

from rollout import parity_runs
from streams.errors import ScoringError
from streams.scoring import Scorer
from tests.rollout.versions import BIAS, SPAM, WEIGHTS, stored, written
from tests.streams import onnx_files

pytestmark = pytest.mark.torch


def program(path, weights=WEIGHTS):
    """softmax(X W + b), exported by torch."""
    import torch

    linear = torch.nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weights.T.copy()))
        linear.bias.copy_(torch.from_numpy(BIAS))
    model = torch.nn.Sequential(linear, torch.nn.Softmax(dim=1)).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(model, (torch.zeros(2, 3),), dynamic_shapes=shapes)
    torch.export.save(exported, path)
    return model, shapes


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr(parity_runs, "TIMING_S", 0.01)


def test_a_program_and_its_file_answer_alike(tmp_path):
    written(tmp_path)
    program(tmp_path / "model.pt2")

    report = parity_runs.check(*stored(tmp_path), SPAM, random_rows=64)

    assert report.passed, report
    assert (report.source, report.rows) == ("torch", 64)
    assert {t.form for t in report.timings} == {"torch", "onnx"}


def test_what_torch_exports_itself_passes(tmp_path):
    import torch

    model, shapes = program(tmp_path / "model.pt2")
    torch.onnx.export(
        model, (torch.zeros(2, 3),), tmp_path / "model.onnx", dynamic_shapes=shapes,
        external_data=False, dynamo=True,
    )  # fmt: skip

    report = parity_runs.check(*stored(tmp_path), SPAM, random_rows=64)

    assert report.passed, report
    assert report.comparisons[0].max_abs < 1e-6


def test_a_file_of_other_weights_does_not_pass(tmp_path):
    written(tmp_path, made=onnx_files.linear(WEIGHTS * 1.01, BIAS))
    program(tmp_path / "model.pt2")

    report = parity_runs.check(*stored(tmp_path), SPAM, random_rows=64)

    assert not report.passed
    assert report.comparisons[0].max_abs > 1e-4


def test_an_archive_with_a_pickled_object_that_calls_code_is_refused(tmp_path):
    import torch

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    evil = io.BytesIO()
    torch.save(Evil(), evil)
    good, bad = tmp_path / "good.pt2", tmp_path / "bad.pt2"
    program(good)
    with zipfile.ZipFile(good) as before, zipfile.ZipFile(bad, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if "/weights/" in name and not name.endswith(".json"):
                content = evil.getvalue()
            if name.endswith("weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true')
            after.writestr(name, content)

    with pytest.raises(ScoringError, match="mkdir") as caught:
        Scorer("spam v1", "rollout.torch_program", bad, limits=parity_runs.TORCH_LIMITS)

    assert caught.value.kind == "load"
    assert not (tmp_path / "owned").exists()
