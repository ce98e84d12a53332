"""A version's file runs in a child that can do nothing else; whatever it does, we are told."""

import os
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from streams import files, frames
from streams.bundles import Bundle
from streams.errors import InputError, ScoringError
from streams.scoring import MIB, Limits, Scorer, graph_scorer, scorer
from streams.versions import Body, Version
from tests.streams import onnx_files

ROWS = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
SHORT = Limits(memory_bytes=256 * MIB, run_s=2.0)


@pytest.fixture
def started(tmp_path):
    """Starts a scorer of a model; all are closed at the end."""
    running: list[Scorer] = []

    def start(made, *, limits=SHORT, **beside: bytes) -> Scorer:
        path = onnx_files.saved(tmp_path / "m.onnx", made)
        paths = []
        for name, content in beside.items():
            (tmp_path / name).write_bytes(content)
            paths.append((name, tmp_path / name))
        running.append(graph_scorer("spam v42", path, beside=paths, limits=limits))
        return running[-1]

    yield start
    for each in running:
        each.close()


def test_rows_are_answered_and_the_models_own_time_is_told(started):
    relu = started(onnx_files.one("Relu"))

    answered = relu.run({"X": ROWS})

    assert answered.outputs["Y"].tolist() == [[1, 0, 3], [4, 5, 0]]
    assert 0 <= answered.model_s <= answered.total_s
    assert [(p.name, p.type, p.shape) for p in relu.inputs] == [("X", "tensor(float)", (None, 3))]


def test_batches_larger_than_a_pipe_go_through_both_ways(started):
    rows = np.random.default_rng(0).normal(size=(200_000, 3)).astype(np.float32)

    answered = started(onnx_files.one("Neg")).run({"X": rows})

    assert np.array_equal(answered.outputs["Y"], -rows)


def test_a_model_that_wants_four_gigabytes_is_told_and_the_next_batch_would_be_too(started):
    greedy = started(onnx_files.greedy(10**9))

    for _ in range(2):
        with pytest.raises(ScoringError, match="spam v42") as caught:
            greedy.run({"X": ROWS})
        assert caught.value.kind == "memory"


def test_a_model_that_loops_long_is_ended_in_time(started):
    endless = started(onnx_files.looping(10**12))
    begun = time.monotonic()

    with pytest.raises(ScoringError, match="spam v42") as caught:
        endless.run({"X": ROWS})

    assert caught.value.kind == "timeout"
    assert time.monotonic() - begun < SHORT.run_s + 3
    assert not endless.is_alive


def test_a_model_that_reads_a_file_of_the_machine_is_never_loaded(started):
    with pytest.raises(InputError, match="/etc/hostname"):
        started(onnx_files.reading("/etc/hostname"))


def test_a_model_may_read_the_files_of_its_version(started):
    weights = np.array([10, 20, 30], np.float32)

    answered = started(onnx_files.reading("weights", count=3), weights=weights.tobytes()).run(
        {"X": ROWS}
    )

    assert answered.outputs["Y"].tolist() == (ROWS + weights).tolist()


def test_a_file_of_the_version_that_is_too_short_is_told(started):
    with pytest.raises(ScoringError) as caught:
        started(onnx_files.reading("weights"), weights=b"abc")
    assert caught.value.kind == "load"


def test_numbers_that_are_not_finite_name_their_row(started):
    logs = started(onnx_files.one("Log"))
    rows = np.array([[1, 1, 1], [1, 0, 1]], np.float32)

    with pytest.raises(ScoringError, match="row 1 of 2") as caught:
        logs.run({"X": rows})
    assert caught.value.kind == "not-finite"
    assert logs.run({"X": rows}, partial=True).finite.tolist() == [True, False]


def test_another_number_of_rows_is_told(started):
    node = onnx_files.helper.make_node("Transpose", ["X"], ["Y"])
    made = onnx_files.model(
        [node], [onnx_files.value("X", ["n", 3])], [onnx_files.value("Y", [3, "n"])]
    )

    with pytest.raises(ScoringError, match="of shape") as caught:
        started(made).run({"X": ROWS})
    assert caught.value.kind == "shape"


@pytest.mark.parametrize(
    "inputs",
    [{"Z": ROWS}, {"X": ROWS[:, :2]}, {"X": ROWS.astype(np.int64)}, {"X": ROWS, "Z": ROWS}],
    ids=["name", "width", "type", "too many"],
)
def test_inputs_that_do_not_fit_are_told_and_the_next_batch_is_answered(started, inputs):
    relu = started(onnx_files.one("Relu"))

    with pytest.raises(ScoringError) as caught:
        relu.run(inputs)
    assert caught.value.kind == "run"
    assert relu.run({"X": ROWS}).finite.all()


def test_a_file_that_the_runtime_refuses_is_told(started):
    with pytest.raises(ScoringError, match="Nonsense") as caught:
        started(onnx_files.one("Nonsense"))
    assert caught.value.kind == "load"


def test_a_child_that_is_killed_is_told(started):
    relu = started(onnx_files.one("Relu"))
    os.kill(relu._child._process.pid, 9)

    with pytest.raises(ScoringError, match="signal 9") as caught:
        relu.run({"X": ROWS})
    assert caught.value.kind == "crashed"
    assert not relu.is_alive


def test_closing_leaves_no_process_and_no_folder(started):
    relu = started(onnx_files.one("Relu"))
    pid, folder = relu._child._process.pid, Path(relu._folder.name)

    relu.close()

    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()


CONFINED = """
    import ctypes, os, socket, subprocess, sys
    sys.path.insert(0, {root!r})
    from streams import confinement
    confinement.confine(memory_bytes=64 << 20)

    def tried(name, call):
        try:
            call()
            print(name, "done")
        except (OSError, MemoryError) as error:
            print(name, type(error).__name__)

    tried("connect", lambda: socket.create_connection(("127.0.0.1", {port})))
    tried("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    tried("unix", lambda: socket.socket(socket.AF_UNIX))
    tried("exec", lambda: os.execv("/bin/true", ["true"]))
    tried("run", lambda: subprocess.run(["/bin/true"], check=True))
    tried("kill", lambda: os.kill(os.getppid(), 0))
    tried("write", lambda: open("big", "wb").write(bytes(1 << 20)))
    tried("memory", lambda: bytearray(256 << 20))
    confinement.open_nothing_more()
    tried("read", lambda: open("/etc/hostname"))
    print("compute", sum(range(10)))
"""


def test_the_child_has_no_network_no_programs_and_no_more_memory(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        root = str(Path(frames.__file__).parents[1])
        text = dedent(CONFINED).format(root=root, port=listener.getsockname()[1])
        said = subprocess.run(
            [sys.executable, "-I", "-c", text], cwd=tmp_path, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip

    refused = dict(line.split() for line in said.stdout.splitlines())
    assert refused.pop("compute") == "45", said.stderr
    assert refused.pop("memory") == "MemoryError"
    assert "done" not in refused.values(), refused
    assert len(refused) == 8


def test_the_child_is_given_nothing_of_its_parents_environment(started, monkeypatch):
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", "postgresql://secret")
    relu = started(onnx_files.one("Relu"))

    environ = Path(f"/proc/{relu._child._process.pid}/environ").read_bytes()

    assert b"PENSTOCK" not in environ
    assert len(os.listdir(relu._folder.name)) == 1


def test_a_version_of_the_store_is_run_with_the_files_that_it_brings(tmp_path):
    weights = np.array([10, 20, 30], np.float32)
    onnx_files.saved(tmp_path / "m.onnx", onnx_files.reading("w.bin"))
    (tmp_path / "w.bin").write_bytes(weights.tobytes())
    root = tmp_path / "files"
    stored = tuple(files.store(root, tmp_path / name) for name in ("m.onnx", "w.bin"))
    version = Version(
        "spam", "v1", 1, body=Body(stored, bundle=Bundle(onnx="m.onnx", data=("w.bin",)))
    )

    with scorer(root, version, limits=SHORT) as running:
        assert running.run({"X": ROWS}).outputs["Y"].tolist() == (ROWS + weights).tolist()
    with pytest.raises(InputError, match="brings no quantised file"):
        scorer(root, version, file="quantised")


def test_what_a_confined_process_imports_is_not_left_behind_cut_off(tmp_path):
    (tmp_path / "large.py").write_text("".join(f"name_{k} = {k}\n" for k in range(20_000)))
    confined = """
        from streams.confinement import confine
        confine(memory_bytes=1 << 30)
        import large
        """

    for code in (confined, "import large; assert large.name_19999 == 19_999"):
        done = subprocess.run(
            [sys.executable, "-c", dedent(code)],
            env={"PYTHONPATH": f"{Path.cwd()}:{tmp_path}"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
