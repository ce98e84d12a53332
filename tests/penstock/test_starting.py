"""What `penstock up` says of a folder or disk that it cannot work with."""

import os
import resource
import socket
import subprocess
import sys
import threading

import pytest

from penstock import starting
from penstock.cli.main import run
from penstock.installation import make_folder, prepare
from penstock.settings import Settings
from streams.errors import ConfigError, UnavailableError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_text("not a folder")
    return path


@pytest.mark.parametrize("inside", ["", "data"])
def test_a_folder_that_cannot_be_made_is_said_with_the_setting_that_names_it(file, inside):
    for start in (make_folder, prepare):
        with pytest.raises(ConfigError, match="cannot be the data folder") as caught:
            start(Settings(data_dir=file / inside))

        assert str(file) in caught.value.why
        assert "PENSTOCK_DATA_DIR" in caught.value.fix


def test_up_ends_with_that_error_and_no_traceback(file, monkeypatch, capsys):
    monkeypatch.setenv("PENSTOCK_DATA_DIR", str(file))

    code = run(["up"])

    assert code == 2
    assert capsys.readouterr().err.startswith(f"error: {file} cannot be the data folder")


@pytest.mark.parametrize("is_prepared", [False, True])
def test_a_start_on_a_full_disk_says_so(tmp_path, is_prepared):
    """A limit of no bytes per file stands for the disk: every write to a file fails."""
    if is_prepared:
        prepare(Settings(data_dir=tmp_path))

    refused = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", "up"],
        env=os.environ | {"PENSTOCK_DATA_DIR": str(tmp_path)}, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)), timeout=60,
        check=False,
    )  # fmt: skip

    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "free space" in refused.stderr


def test_a_port_that_children_of_a_killed_up_still_hold_is_waited_for():
    held = socket.create_server(("127.0.0.1", 0))
    settings = Settings(port=held.getsockname()[1])
    threading.Timer(0.5, held.close).start()

    starting.check_port(settings)


def test_a_port_that_stays_taken_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(starting, "PORT_WAIT_S", 0.2)

    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        pytest.raises(UnavailableError, match="cannot be listened on") as caught,
    ):
        starting.check_port(Settings(port=held.getsockname()[1]))

    assert "PENSTOCK_PORT" in caught.value.fix
