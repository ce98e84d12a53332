"""A gigabyte of JSON Lines through `penstock send`, interrupted half-way and sent again.

Every event is counted once, whoever sends it how often, and no process grows with the file.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks import traffic
from penstock.installation import opened, prepare
from penstock.settings import Settings
from streams import registry
from streams.db.engine import reading, writing
from tests.contracts.postgres import free_port
from tests.crash.killing import Service
from tests.crash.story import wait_until_counted
from tests.streams import spine

GIGABYTE = 1_000_000_000
FEATURES = 25
FREE_DISK = 8 * GIGABYTE
SENDER_MB, CHILD_MB = 150, 600
SPAN_MS = 48 * 3_600_000


@pytest.fixture
def service(tmp_path):
    if shutil.disk_usage(tmp_path).free < FREE_DISK:
        pytest.skip("needs 8 GB of disk")
    service = Service(Settings(data_dir=tmp_path / "data", port=free_port()), tmp_path / "up.log")
    yield service
    service.kill()
    shutil.rmtree(tmp_path)


def write(path: Path) -> Counter[str]:
    """A gigabyte of traffic; returns how many events of each kind it holds."""
    made = traffic.Traffic(features=FEATURES, start_ms=time.time_ns() // 1_000_000 - SPAN_MS)
    events: Counter[str] = Counter()
    size = 0
    with path.open("wb") as file:
        while size < GIGABYTE:
            lines = [line for _, line in made.events(10_000)]
            size += file.write(b"\n".join(lines) + b"\n")
            labels = sum(line.startswith(b'{"type":"io.penstock.label.v1"') for line in lines)
            events += Counter(answers=len(lines) - labels, labels=labels)
    return events


@contextmanager
def sending(service: Service, path: Path):
    """`penstock send`, whose report is read from stdout."""
    command = [sys.executable, "-m", "penstock.cli.main", "send", str(path), "-o", "json"]
    with subprocess.Popen(
        [*command, "--server", service.settings.url],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as sender:  # fmt: skip
        try:
            yield sender
        finally:
            sender.kill()


class Peaks:
    """The most memory that each process of interest was seen with, in MB."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.mb: Counter[str] = Counter()

    def look(self, sender: subprocess.Popen[bytes]) -> None:
        for name, pid in (self._service.pids() | {"sender": sender.pid}).items():
            self.mb[name] = max(self.mb[name], _resident_mb(pid))


def _resident_mb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    sizes = dict(line.split(":", 1) for line in status.splitlines())
    return int(sizes.get("VmHWM", "0 kB").split()[0]) // 1024


def accepted(service: Service) -> int:
    with urllib.request.urlopen(f"{service.settings.url}/v1/pipe", timeout=20) as answer:
        return json.load(answer)["accepted"]


def sent(service, path, peaks, *, until=None):
    """What the sender reports; it gets Ctrl-C once `until` events were accepted."""
    with sending(service, path) as sender:
        while sender.poll() is None:
            peaks.look(sender)
            if until is not None and accepted(service) >= until:
                sender.send_signal(signal.SIGINT)
                until = None
            time.sleep(0.2)
        out, _ = sender.communicate()
        return sender.returncode, json.loads(out)


def counts(service):
    """Rows of the ledger and what the counters say of them."""
    rows = {
        "answers": "SELECT count(*) FROM answer",
        "labels": "SELECT (SELECT count(*) FROM label) + (SELECT count(*) FROM orphan)",
        "pairs": "SELECT count(*) FROM answer s JOIN answer l USING (day, pid16, model_no)"
                 " WHERE s.role = 1 AND l.role = 0",
        "labelled": "SELECT count(*) FROM label JOIN answer USING (day, pid16, model_no)",
        "dead": "SELECT count(*) FROM dead_letter",
    }  # fmt: skip
    with opened(service.settings) as here, reading(here.engine) as connection:
        found = {name: connection.execute(text(sql)).scalar_one() for name, sql in rows.items()}
        cells: Counter[str] = Counter()
        for what, blob in connection.execute(text("SELECT what, cells FROM counter")):
            family = what.partition("/")[0]
            held = zip(spine.CELL_NAMES[family], memoryview(blob).cast("q"), strict=True)
            cells.update({f"{family}.{name}": count for name, count in held})
    return found, cells


@pytest.mark.slow
def test_a_gigabyte_interrupted_and_sent_again_is_counted_once(service, tmp_path):
    path = tmp_path / "events.jsonl"
    events = write(path)
    prepare(service.settings)
    with opened(service.settings) as here, writing(here.engine) as connection:
        registry.register(connection, traffic.declaration(), now_ms=0, by="test")
    service.keep_up()
    peaks = Peaks(service)
    while "serves at" not in service.said:
        time.sleep(0.05)

    begun = time.monotonic()
    code, half = sent(service, path, peaks, until=events.total() // 2)
    assert (code, half["interrupted"], half["rejected"]) == (130, True, 0)
    assert events.total() // 2 <= half["done_to_line"] < events.total()
    code, whole = sent(service, path, peaks)
    sent_s = time.monotonic() - begun
    assert (code, whole["accepted"], whole["rejected"]) == (0, events.total(), 0)
    wait_until_counted(service)
    counted_s = time.monotonic() - begun
    found, cells = counts(service)

    every = half["accepted"] + whole["accepted"]
    print(f"\n{path.stat().st_size:,} bytes, {events.total():,} events, {every:,} sent:"
          f" {every / sent_s:,.0f} events/s sent, {every / counted_s:,.0f} events/s counted;"
          f" MB at most: {dict(peaks.mb)}")  # fmt: skip
    assert service.stop() == 0
    assert found | {"pairs": 0, "labelled": 0} == {**events, "pairs": 0, "labelled": 0, "dead": 0}
    assert cells["pipe.answered"] == events["answers"]
    assert cells["pipe.paired"] == found["pairs"]
    assert cells["pipe.labelled"] == found["labelled"]
    assert cells["matured.answered"] + cells["late.late_answers"] == events["answers"]
    assert peaks.mb["sender"] < SENDER_MB, peaks.mb
    assert max(peaks.mb[role] for role in ("web", "intake", "control")) < CHILD_MB, peaks.mb
