"""The client in an environment that holds nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CLIENT = Path(__file__).parents[2] / "clients" / "python"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The interpreter of a fresh environment with the client and what it needs."""
    folder = tmp_path_factory.mktemp("alone")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
        [uv, "pip", "install", "--quiet", "--python", str(folder / "venv"), str(CLIENT)],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin" / "python"


def test_it_brings_only_msgspec(alone):
    script = (
        "from importlib.metadata import distributions;"
        "print(*sorted(d.metadata['Name'] for d in distributions()))"
    )

    done = subprocess.run([alone, "-c", script], check=True, capture_output=True, text=True)

    assert done.stdout.split() == ["msgspec", "penstock-client"]


def test_it_serves_a_service_that_has_nothing_else(alone, remote, tmp_path):
    script = f"""
import penstock_client
with penstock_client.Client({remote.url!r}, "digits", champion="41", key="ps_1_s",
                            state_dir={str(tmp_path)!r}) as client:
    assignment = client.assign("unit-1", tags={{"country": "nl"}})
    with client.predicting(assignment, features={{"age": 3}}) as predicting:
        predicting.answer(label="7", score=0.9)
    client.label(prediction_id=assignment.prediction_id, label="7")
    client.feedback("thumb", prediction_id=assignment.prediction_id, label="up")
    assert client.flush(), client.stats()
"""

    done = subprocess.run(
        [alone, "-W", "error", "-c", script], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (
        len(remote.of("prediction")) == len(remote.of("label")) == len(remote.of("feedback")) == 1
    )
    assert remote.counts() == {"assigned": 1, "answered": 1, "dropped": 0}
