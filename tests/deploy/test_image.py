"""Dockerfile and .dockerignore, held against the project that they make an image of."""

import http.server
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.deploy.files import DOCKERFILE, PROJECT, ROOT

WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]


def instructions(word: str) -> list[str]:
    text = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(f"{word} ").strip() for line in text.splitlines()
            if line.startswith(f"{word} ")]  # fmt: skip


def test_hadolint_finds_nothing(tmp_path):
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    assert hadolint

    found = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stdout) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN sudo pip install x\n")
    wrong = subprocess.run([hadolint, tmp_path / "Dockerfile"], capture_output=True, check=False)
    assert wrong.returncode == 1


def test_the_base_is_one_that_the_project_runs_on():
    (python,) = re.findall(r"^ARG PYTHON=(\d+\.\d+)\.\d+-slim-\w+$", DOCKERFILE, re.M)

    assert tuple(map(int, python.split("."))) >= (3, 11)
    assert python == PROJECT["requires-python"].removeprefix(">=")  # the one that tests run with
    assert [line.split()[0] for line in instructions("FROM")] == ["python:${PYTHON}"] * 2


def test_it_runs_as_nobody_special_and_says_whether_it_lives():
    assert instructions("USER") == ["10001"]
    assert instructions("ENTRYPOINT") == ['["penstock"]']
    (probe,) = re.findall(r'CMD \["python", "(.+?)"\]', instructions("HEALTHCHECK")[0])
    assert f"COPY deploy/image/probe.py {probe}" in DOCKERFILE


def test_everything_that_is_copied_exists_and_is_let_in():
    let_in = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = [
        source
        for line in instructions("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    ]

    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert {source.removesuffix("/probe.py") for source in copied} == let_in
    assert set(WHEEL["wheel"]["packages"]) <= set(copied)


def test_the_lock_pins_whatever_the_image_installs():
    (extras,) = re.findall(r"^ARG EXTRAS=(.+)$", DOCKERFILE, re.M)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    pinned = {
        Requirement(line).name.lower().replace("_", "-")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
    }
    needed, waiting = set[str](), [("penstock", extras)]
    while waiting:
        name, wanted = waiting.pop()
        for text in metadata.requires(name) or []:
            needs = Requirement(text)
            applies = needs.marker is None or any(
                needs.marker.evaluate({"extra": extra}) for extra in ("", *wanted.split(","))
            )
            key = needs.name.lower().replace("_", "-")
            if applies and key not in needed:
                needed.add(key)
                waiting.append((needs.name, ",".join(needs.extras)))

    assert {"kafka-python", "psycopg-binary", "starlette"} <= needed
    assert needed - pinned == set()


@pytest.mark.parametrize(("status", "variable"), [(200, "OPS_PORT"), (200, "PORT"), (503, "PORT")])
def test_the_probe_tells_a_role_that_lives_from_one_that_does_not(status, variable):
    class Role(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Role) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answered = probed(variable, server.server_port)
        server.shutdown()

    assert (answered == 0) == (status == 200)
    assert probed(variable, server.server_port) != 0


def probed(variable: str, port: int) -> int:
    return subprocess.run(
        [sys.executable, ROOT / "deploy" / "image" / "probe.py"],
        env={f"PENSTOCK_{variable}": str(port)}, stderr=subprocess.DEVNULL, check=False,
    ).returncode  # fmt: skip
