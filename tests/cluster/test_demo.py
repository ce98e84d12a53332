"""The demo on a Kafka and a PostgreSQL of its own, all of which is killed in the middle of it."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

from penstock.demo import script
from penstock.demo.folder import Story
from tests.penstock.test_supervisor import eventually
from tests.stories.test_demo import Demo, figures, needs_extra

PATIENCE_S = 240


@pytest.fixture
def folder():
    # Not below pytest's own folder: that is root's alone where root runs the tests.
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "demo"


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_broker_database_and_roles_are_killed_and_every_event_is_counted_once(folder):
    needs_extra()
    demo = Demo(folder, "--cluster", "--exit")
    try:
        assert eventually(lambda: demo.served() >= 400, PATIENCE_S), demo.process.poll()
        (cluster,) = demo.pids("penstock.demo.cluster")
        os.kill(cluster, signal.SIGKILL)
        out, _ = demo.process.communicate(timeout=PATIENCE_S)
    finally:
        demo.process.kill()

    assert demo.process.returncode == 0, out
    assert "cluster was ended by SIGKILL" in out
    assert "every one of 3,010 events was counted once" in out
    assert figures(out)["answers of v1, live"] == 1_000
    assert eventually(lambda: demo.pids() == [], 10)


@pytest.mark.parametrize("speed", [1.0, 20.0, 60.0])
def test_where_the_clock_cannot_hurry_the_deeds_do(speed):
    here = Story(7, 1_000, 100, speed, 8090)
    there = Story(7, 1_000, 100, speed, 8090, cluster=True)
    deeds = [deed for n in range(200) for deed in script.request(7, n).deeds]

    assert (here.clock, there.clock) == (speed, 1.0)
    assert here.tail_s == there.tail_s
    for deed in deeds:
        assert here.after_ms(deed) == deed.after_ms
        assert there.after_ms(deed) == int(deed.after_ms / speed)
        assert (
            there.after_ms(deed) / there.clock
            <= here.after_ms(deed) / here.clock
            <= here.tail_s * 1e3
        )
