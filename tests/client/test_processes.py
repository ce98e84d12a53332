"""Processes that fork, end and are killed: no loss that is not counted, no deadlock."""

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")

PREFORK = """
{before}
children = []
for worker in range(3):
    pid = os.fork()
    if not pid:
        for index in range(50):
            client.record(client.assign(), label=f"child-{{worker}}")
        {end}
    children.append(pid)
for index in range(50):
    client.record(client.assign(), label="parent")
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""

NEXT = """
client.assign()
client.label(prediction_id="p-7", label="7")  # an event does not wait for the counts' turn
time.sleep(0.4)
"""


def unsent(folder):
    """What a process left for the next to send; its name among the readers of routes is no such."""
    return [path for path in folder.iterdir() if path.suffix != ".reader"]


def labels(remote):
    return sorted(event["output"]["label"] for event in remote.of("prediction"))


@pytest.mark.parametrize(
    "before",
    [
        "",
        "client.record(client.assign(), label='parent')",
        "client.record(client.assign(), label='parent'); client.flush()",
    ],
    ids=["cold", "with a waiting event", "with a running sender"],
)
def test_a_forked_worker_starts_empty_and_everybody_sends_their_own_once(
    run_script, remote, before
):
    run_script(PREFORK.format(before=before, end="sys.exit()"))

    expected = ["parent"] * (50 + bool(before))
    expected += [f"child-{worker}" for worker in range(3) for _ in range(50)]
    assert labels(remote) == sorted(expected)
    assert remote.counts() == {
        "assigned": len(expected),
        "answered": len(expected),
        "dropped": 0,
    }
    assert len({event["instance"] for event in remote.of("assigned")}) == 4


def test_forking_while_threads_record_never_blocks_parent_or_child(run_script, remote):
    done = run_script(
        """
import threading
stop = threading.Event()
def busy():
    while not stop.is_set():
        client.record(client.assign(), label="thread")
threads = [threading.Thread(target=busy) for _ in range(2)]
for thread in threads: thread.start()
for round in range(8):
    pid = os.fork()
    if not pid:
        signal.alarm(10)
        client.record(client.assign(), label="child")
        client.close(5)
        print(client.stats(), flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
client.close(20)
"""
    )

    assert labels(remote).count("child") == 8, done.stdout + done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_of_multiprocessing_sends_what_it_recorded_last(remote, tmp_path, method):
    script = tmp_path / "service.py"
    script.write_text(f"""
import multiprocessing, penstock_client
client = penstock_client.Client(
    {remote.url!r}, "digits", champion="41", state_dir={str(tmp_path)!r}
)

def work(index):
    client.record(client.assign(), label=str(index))

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=work, args=(index,)) for index in range(2)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
""")

    done = subprocess.run(
        [sys.executable, str(script)], check=False, capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 0, done.stderr
    assert labels(remote) == ["0", "1"]


def test_the_end_of_the_process_sends_what_is_left(run_script, remote, tmp_path):
    run_script("client.record(client.assign(), label='last')")

    assert labels(remote) == ["last"]
    assert remote.counts() == {"assigned": 1, "answered": 1, "dropped": 0}
    assert unsent(tmp_path / "state") == []


def test_an_exception_that_ends_the_process_loses_nothing(run_script, remote):
    run_script("client.record(client.assign(), label='last'); raise KeyboardInterrupt", ends=1)

    assert labels(remote) == ["last"]


def test_the_end_is_held_up_for_a_moment_only(run_script, remote, answers):
    remote.answer = answers["slow"](20)

    done = run_script(
        "import atexit\n"
        "began = time.monotonic()\n"
        "atexit._clear()\n"
        "client.record(client.assign(), label='last')\n"
        "client.close()\n"
        "print(time.monotonic() - began, client.stats().dropped)"
    )

    waited, dropped = done.stdout.split()
    assert float(waited) < 4
    assert dropped == "1"


def test_what_could_not_be_sent_at_exit_waits_in_the_spool_for_the_next_process(
    run_script, remote, answers, tmp_path
):
    takes, remote.answer = remote.answer, answers["status"](503)
    run_script("client.record(client.assign(), label='last')", spool_dir=str(tmp_path / "spool"))
    assert len(list((tmp_path / "spool").iterdir())) == 1

    remote.answer = takes
    run_script(
        "client.record(client.assign(), label='next'); time.sleep(.5); client.flush()",
        spool_dir=str(tmp_path / "spool"),
    )

    assert labels(remote) == ["last", "next"]
    assert remote.counts() == {"assigned": 2, "answered": 2, "dropped": 0}
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_was_dropped_at_exit_is_told_by_the_next_process(run_script, remote, answers):
    takes, remote.answer = remote.answer, answers["status"](503)
    run_script("client.record(client.assign(), label='lost')")

    remote.answer = takes
    run_script(NEXT)

    assert labels(remote) == []
    assert remote.counts() == {"assigned": 2, "answered": 1, "dropped": 1}


@pytest.mark.parametrize("place", ["before the model", "in the model", "after the answer"])
def test_a_version_that_kills_its_process_cannot_hide_its_worst_cases(
    run_script, remote, tmp_path, place
):
    script = {
        "before the model": "client.assign()\nos.kill(os.getpid(), 9)",
        "in the model": (
            "with client.predicting(client.assign()) as predicting:\n os.kill(os.getpid(), 9)"
        ),
        "after the answer": "client.record(client.assign(), label='7')\nos.kill(os.getpid(), 9)",
    }[place]
    run_script(script, ends=-signal.SIGKILL)

    run_script(NEXT)

    answered = 1 if place == "after the answer" else 0
    assert remote.counts() == {"assigned": 2, "answered": answered, "dropped": 0}
    assert unsent(tmp_path / "state") == []


def test_no_count_is_lost_when_a_busy_process_is_killed(run_script, remote, tmp_path):
    done = run_script(
        """
import threading
def kill():
    time.sleep(0.3)
    os.kill(os.getpid(), 9)
threading.Thread(target=kill).start()
seen = os.open("seen", os.O_WRONLY | os.O_CREAT)
while True:
    assignment = client.assign()
    os.write(seen, b".")
    client.record(assignment, label="7")
""".replace('"seen"', repr(str(tmp_path / "seen"))),
        ends=-signal.SIGKILL,
    )
    run_script(NEXT)

    asked = (tmp_path / "seen").stat().st_size + 1
    counts = remote.counts()
    assert asked <= counts["assigned"] <= asked + 1, done.stderr
    assert asked - 2 <= counts["answered"] <= asked
    assert len(remote.of("prediction")) <= counts["answered"]


def test_a_client_of_another_server_or_model_adopts_nothing(run_script, remote, tmp_path):
    run_script("client.assign()\nos.kill(os.getpid(), 9)", ends=-signal.SIGKILL)

    run_script(
        f"other = penstock_client.Client({remote.url!r}, 'other', champion='1',"
        f" state_dir={str(tmp_path / 'state')!r})\n" + NEXT.replace("client", "other")
    )

    assert {event["model"] for event in remote.of("assigned")} == {"other"}
    assert len(unsent(tmp_path / "state")) == 1


def test_a_server_that_is_away_ends_no_process_with_an_error(run_script, tmp_path):
    done = run_script(
        "gone = penstock_client.Client('http://127.0.0.1:1', 'digits', champion='41',"
        f" state_dir={str(tmp_path / 'state')!r})\n"
        "with gone.predicting(gone.assign()) as predicting: predicting.answer(label='7')\n"
        "gone.label(prediction_id='p', label='7'); gone.feedback('thumb', prediction_id='p')",
    )

    assert "Traceback" not in done.stderr
