"""The supervisor over small children, and the lock. `penstock up` itself is in tests/cli."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from penstock import lock
from penstock.supervisor import Supervisor
from streams.errors import UnavailableError
from tests.processes import running

UNTIL_EOF = "import sys; sys.stdin.read()"
STUBBORN = "import time\nwhile True: time.sleep(1)"
DIES = "import sys; sys.exit(7)"


def eventually(holds, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def run_for(seconds: float, code: str) -> list[str]:
    """Supervises one child for a while; returns what was said."""
    said: list[str] = []
    stop = threading.Event()
    supervisor = Supervisor(["child"], lambda _: [sys.executable, "-c", code], say=said.append)
    threading.Timer(seconds, stop.set).start()
    supervisor.run(stop)
    return said


def test_children_end_when_the_supervisor_is_told_to():
    begun = time.monotonic()

    said = run_for(0.5, UNTIL_EOF)

    assert said == []
    assert time.monotonic() - begun < 2


def test_a_child_that_does_not_end_is_killed():
    begun = time.monotonic()

    said = run_for(0.5, STUBBORN)

    assert said == ["child did not end within 2 s and was killed"]
    assert time.monotonic() - begun < 4


def test_a_child_that_dies_starts_again_ever_more_slowly():
    said = run_for(1.5, DIES)

    assert said[0] == "child ended with exit code 7; starting it again in 0.1 s"
    assert said[1] == "child ended with exit code 7; starting it again in 0.2 s"
    assert len(said) < 7


def test_a_supervisor_that_is_killed_leaves_no_child_behind():
    code = (
        "import sys, threading\n"
        "from penstock.supervisor import Supervisor\n"
        f"command = lambda _: [sys.executable, '-c', {UNTIL_EOF!r}]\n"
        "Supervisor(['a', 'b', 'c'], command, say=print).run(threading.Event())"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    assert eventually(lambda: len(children_of(process.pid)) == 3, 10)
    children = children_of(process.pid)

    process.kill()
    process.wait()

    assert eventually(lambda: not any(map(running, children)), 2)


def test_one_process_holds_a_data_folder(tmp_path):
    with lock.held(tmp_path):
        assert lock.holder(tmp_path) == f"process {os.getpid()} on {os.uname().nodename}"
        with pytest.raises(UnavailableError, match=f"process {os.getpid()}"), lock.held(tmp_path):
            raise AssertionError("held twice")

    assert lock.holder(tmp_path) is None


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from penstock import lock\n"
        "with lock.held(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    assert lock.holder(tmp_path) is not None

    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    assert lock.holder(tmp_path) is None
    with lock.held(tmp_path):
        pass
