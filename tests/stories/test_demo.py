"""The demo, end to end, as `make demo` runs it; its own sums are checked against the tables."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from penstock.demo import beginning, script
from penstock.demo.journal import Done, Reader, Served, Settled
from streams import files
from tests.penstock.test_supervisor import eventually

DOCS = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")
FIGURE = re.compile(
    r"^\d\d:\d\d:\d\d   {0,3}(?P<name>\S.*?) +(?P<ours>[\d,]+) +(?P<theirs>[\d,]+)$"
)


def needs_extra():
    """Without the extra there is no demo; in CI it must be there."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("sklearn", reason="the extra `demo` is not installed")
        pytest.importorskip("skl2onnx", reason="the extra `demo` is not installed")


class Demo:
    """A demo on a folder of the test, its output piped."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "penstock.demo", "--quick", "--data", str(folder), *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def ended(self) -> tuple[int, str]:
        """Exit code and everything it said."""
        out, _ = self.process.communicate(timeout=110)
        return self.process.returncode, out

    def pids(self, role: str = "") -> list[int]:
        """Live processes of this demo, by their arguments and environment; all or a role's."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                command = (path / "cmdline").read_bytes()
                words = command + (path / "environ").read_bytes()
            except OSError:  # it has just ended, or is not ours
                continue
            is_role = not role or role.encode() in command.split(b"\0")
            if command and is_role and str(self.folder).encode() in words:
                found.append(int(path.name))
        return sorted(found)

    def served(self) -> int:
        return len(Reader(self.folder / "journal.jsonl").read().served)


def figures(out: str) -> dict[str, int]:
    """The summary's figures by name, where both sides agree."""
    rows = [match for line in out.splitlines() if (match := FIGURE.match(line))]
    assert all(row["ours"] == row["theirs"] for row in rows), out
    return {row["name"]: int(row["ours"].replace(",", "")) for row in rows}


def query(folder: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / "penstock" / "penstock.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_the_story_is_told_and_its_sums_are_those_of_the_tables(tmp_path):
    needs_extra()
    folder = tmp_path / "demo"

    code, out = Demo(folder, "--exit").ended()

    assert code == 0, out
    told = figures(out)
    assert len(told) == 14
    assert "every one of 3,010 events was counted once" in out
    assert dict(query(folder, "SELECT role, count(*) FROM answer GROUP BY role")) == {
        0: told["answers of v1, live"],
        1: told["answers of v2, shadow"],
    }
    assert query(folder, "SELECT count(*) FROM label WHERE label_code <> -1") == [(told["labels"],)]
    assert query(folder, "SELECT count(*) FROM label WHERE label_code = -1") == [(30,)]
    assert query(folder, "SELECT count(*) FROM dead_letter") == [(10,)]
    assert query(folder, "SELECT count(*) FROM report") == [(told["complaints of customers"],)]
    assert query(folder, "SELECT count(*) FROM orphan") == [(0,)]
    assert query(folder, "SELECT sum(assigned), sum(answered), sum(dropped) FROM assigned") == [
        (1000, 1000, 0)
    ]
    assert query(folder, "SELECT count(*) FROM counter WHERE frozen = 1")[0][0] > 0
    for label, digest in query(folder, "SELECT label, digest FROM version"):
        stored = files.read(folder / "penstock" / "files", str(digest))
        assert stored == (folder / "models" / f"{label}.onnx").read_bytes()


@pytest.mark.slow
def test_ctrl_c_ends_all_of_it_and_the_same_command_goes_on(tmp_path):
    needs_extra()
    first = Demo(tmp_path / "demo")
    assert eventually(lambda: first.served() > 200, 60)
    assert len(first.pids()) == 6  # itself, the service, up and its three children

    first.process.send_signal(signal.SIGINT)

    code, out = first.ended()
    assert (code, first.pids()) == (130, [])
    assert "the same command goes on from here" in out
    assert "Traceback" not in out
    code, out = Demo(tmp_path / "demo", "--exit").ended()
    assert code == 0, out
    assert "it goes on after request" in out
    assert "every one of 3,010 events was counted once" in out


@pytest.mark.slow
def test_whatever_is_killed_the_sums_are_those_of_a_run_in_peace(tmp_path):
    needs_extra()
    _, peace = Demo(tmp_path / "peace", "--exit").ended()
    demo = Demo(tmp_path / "demo")

    for served, role in ((150, "penstock.demo.service"), (400, "web"), (600, "intake"),
                         (750, "penstock.demo.up"), (900, "penstock.demo")):  # fmt: skip
        assert eventually(lambda: demo.served() >= served, 60), (served, role)  # noqa: B023
        os.kill(demo.pids(role)[0], signal.SIGKILL)
    _, out = demo.ended()

    assert "service was ended by SIGKILL" in out
    assert "Penstock: web was ended by SIGKILL" in out
    assert "up was ended by SIGKILL" in out
    assert eventually(lambda: demo.pids() == [], 5)
    code, out = Demo(tmp_path / "demo", "--exit").ended()
    assert code == 0, out
    assert figures(out) == figures(peace)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    needs_extra()
    (tmp_path / "precious").write_text("x")

    code, out = Demo(tmp_path, "--exit").ended()

    assert code == 1
    assert "is not empty and holds no demo" in out
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def shares(requests: int) -> Counter[str]:
    """What `requests` requests come to on paper."""
    story = [script.request(7, n) for n in range(requests)]
    done = Counter(deed.what for request in story for deed in request.deeds)
    labelled = sum(any("label" in d.what for d in request.deeds) for request in story)
    late = sum(
        any(d.what == "label" and d.after_ms >= script.LATE_MS[0] for d in request.deeds)
        for request in story
    )
    repeats = done["label"] + done["wrong label"] - labelled
    labels = done["label"] + done["wrong label"] + done["correction"] - repeats
    return Counter(
        {
            "requests": requests,
            "answers": 2 * requests,
            "errors of v1": sum(request.times_out for request in story),
            "labels": labels,
            "requests that get one": labelled,
            "labels that come too late to be frozen": late,
            "truths declared missing": done["lost"],
            "complaints": done["complaint"],
            "broken events": done["stranger"],
            "labels sent twice": repeats,
            "events": 2 * requests + labels + done["lost"] + done["complaint"] + done["stranger"],
        }
    )


def test_the_arithmetic_on_paper_is_that_of_the_script():
    paper = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", DOCS, re.MULTILINE)

    for column, requests in (
        (1, 100),
        (2, beginning.QUICK.requests),
        (3, beginning.WHOLE.requests),
    ):
        assert {row[0]: int(row[column].replace(",", "")) for row in paper} == shares(requests)


def test_a_journal_that_a_kill_cut_short_goes_on_at_its_last_whole_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    writer = Reader(path).writer()
    for n in range(3):
        writer.write(Served(n, f"id-{n}", 1000 + n, ("3", 0.9), ("5", 0.8)))
    writer.write(Done(1, 0))
    writer.write(Settled(2))
    writer.close()
    with path.open("ab") as stream:
        stream.write(b'["served",3,"id-')
    reader = Reader(path)
    book = reader.read()
    assert [line for _, line in book.unsettled] == [book.served[2], Done(1, 0)]

    writer = reader.writer()
    writer.write(Done(2, 0))
    writer.close()

    assert Reader(path).read().done == {(1, 0), (2, 0)}


def test_the_story_does_not_depend_on_where_it_was_stopped():
    forwards = [script.request(7, n) for n in range(2000)]
    script._block.cache_clear()

    assert [script.request(7, n) for n in reversed(range(2000))] == forwards[::-1]
    assert script.request(8, 0) != forwards[0]
