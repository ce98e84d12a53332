import json
import subprocess
import sys

import pytest

from penstock.cli import main
from penstock.errors import ConditionError
from penstock.escaping import escaped
from streams.errors import ConfigError, ConflictError, Error, InputError, NotAllowedError

HEAVY = (
    "sqlalchemy", "alembic", "numpy", "scipy", "httpx", "fastapi", "uvicorn", "msgspec", "yaml",
    "pyarrow", "onnxruntime",
)  # fmt: skip


@pytest.mark.parametrize("args", [["--help"], ["--help", "-o", "json"], []])
def test_help_imports_nothing_heavy(args):
    code = (
        "import sys; from penstock.cli import main; "
        f"main.run({args!r}); print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_every_command_has_help_and_the_shared_options(penstock, name):
    said = penstock(name, "--help")

    assert said.code == 0
    for option in ("--output", "--quiet", "--yes", "--no-color"):
        assert option in said.out


def test_a_command_that_is_misspelt_is_usage_with_the_nearest_one(penstock):
    said = penstock("modle", "list")

    assert said.code == 2
    assert "did you mean 'model'?" in said.err


def test_a_usage_error_is_json_when_json_was_asked_for(penstock):
    said = penstock("model", "register", "-o", "json")

    assert (said.code, said.out) == (2, "")
    assert json.loads(said.err)["next"] == "penstock model register --help"


def test_an_error_says_why_and_what_next(penstock, data_dir):
    said = penstock("model", "list")

    assert said.code == 2
    assert said.err.splitlines()[0] == f"error: {data_dir} holds no installation yet"
    assert said.err.splitlines()[2] == "next:  penstock up"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Error("x"), 1),
        (InputError("x"), 1),
        (ConfigError("x"), 2),
        (ConditionError("x"), 3),
        (NotAllowedError("x"), 4),
        (ConflictError("x"), 5),
    ],
)
def test_each_kind_of_error_has_its_exit_code(penstock, monkeypatch, error, code):
    def raising():
        raise error

    monkeypatch.setattr("penstock.installed.versions", raising)

    assert penstock("version").code == code


def test_empty_lists_are_json(installed):
    assert installed("model", "list", "-o", "json").json == []
    assert installed("key", "list", "-o", "json").json == []
    assert installed("events", "rejected", "-o", "json").json == []
    assert installed("events", "tail", "-o", "json").json == []
    assert installed("model", "list", "-o", "jsonl").out == ""


def test_an_unknown_setting_stops_a_command(installed, monkeypatch):
    monkeypatch.setenv("PENSTOCK_PARTITION", "3")

    said = installed("model", "list")

    assert (said.code, "PENSTOCK_PARTITIONS?" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢", "plain é 漢"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_nothing_from_outside_moves_the_cursor_or_reorders_a_line(text, shown):
    assert escaped(text) == shown


def test_json_keeps_its_meaning_and_is_safe_to_print(installed, tmp_path):
    name = "evil\u202e\x1b[2J"
    (tmp_path / "m.json").write_text(json.dumps({"model": "m", "task": "text", "owner": name}))
    installed("model", "register", "-f", str(tmp_path / "m.json"))

    for format in ("json", "jsonl"):
        said = installed("model", "show", "m", "-o", format)
        assert said.json["owner"] == name
        assert "\u202e" not in said.out
        assert "\x1b" not in said.out
    assert "\x1b" not in installed("model", "show", "m").out


def test_ctrl_c_ends_with_130_and_without_a_traceback(penstock, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("penstock.installed.versions", interrupted)

    said = penstock("version")

    assert (said.code, said.err) == (130, "")


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path):
    env = {"PENSTOCK_DATA_DIR": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-m", "penstock.cli.main", "doctor", "-o", "jsonl"]
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()

    error = process.stderr.read()

    assert (process.wait(30), error) == (141, "")
    process.stderr.close()
