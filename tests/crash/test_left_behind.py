"""What a SIGKILL leaves: no process, no lock, no lease that a successor would have to wait for."""

import threading
import time

import pytest

from penstock import lock
from penstock.control import LEASE, Control
from penstock.installation import lasting_owner, opened, prepare
from penstock.settings import Settings
from streams.db import leases
from streams.db.engine import writing
from tests.contracts.postgres import free_port
from tests.crash.history import history
from tests.crash.killing import Service
from tests.crash.story import sender
from tests.processes import running


def wait_for(holds, seconds):
    """How long it took until `holds`; fails after `seconds`."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s"
        time.sleep(0.01)
    return time.monotonic() - begun


@pytest.mark.crash
@pytest.mark.parametrize("busy_s", [0.05, 0.4, 1.0, 2.0])
def test_children_of_a_killed_up_are_gone_within_two_seconds_under_load(service, tmp_path, busy_s):
    service.keep_up()
    wait_for(lambda: len(service.pids()) == 4, 30)
    wait_for(lambda: "serves at" in service.said, 30)
    file = tmp_path / "events.jsonl"
    day = history(5, now_ms=time.time_ns() // 1_000_000, days=1, requests=30_000).days[0]
    file.write_bytes(b"\n".join(line for lane in day for line in lane))

    with sender(service.settings.url, 1e9, [file]):
        time.sleep(busy_s)
        children = service.kill()
        took_s = wait_for(lambda: not any(map(running, children)), 2.5)

    print(f"\nafter {busy_s:g} s of load: {len(children)} children gone after {took_s:.2f} s")
    assert lock.holder(service.settings.data_dir) is None


def test_a_second_up_is_refused_while_the_first_is_only_starting(service, tmp_path):
    service.keep_up()
    wait_for(lambda: lock.holder(service.settings.data_dir) is not None, 30)

    second = Service(
        Settings(data_dir=service.settings.data_dir, port=free_port()), tmp_path / "second.log"
    )
    second.keep_up()

    assert second.wait() == 1
    assert "is in use by process" in second.said


def test_a_control_that_was_killed_is_succeeded_at_once(tmp_path):
    settings = Settings(data_dir=tmp_path)
    prepare(settings)
    with opened(settings) as here:
        name = lasting_owner("control", settings)
        with writing(here.engine) as connection:  # by one that lives no more
            leases.acquire(connection, name=LEASE, owner=name, now_ms=2**50, lease_ms=1)
        stop = threading.Event()
        control = Control(here.engine, [], owner=name)
        thread = threading.Thread(target=control.run, args=(stop,))

        thread.start()

        held = control.holds.wait(1.0)
        stop.set()
        thread.join()
        assert held
