"""The demo on a Kafka and a PostgreSQL of its own, all of which is killed in the middle of it."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

from tests.penstock.test_supervisor import eventually
from tests.stories.test_demo import Demo, agreed, needs_extra

PATIENCE_S = 240
TOLD_S = 900


@pytest.fixture
def folder():
    # Not below pytest's own folder: that is root's alone where root runs the tests.
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "demo"


@pytest.mark.cluster
def test_the_demo_serves_on_a_cluster_and_ctrl_c_ends_all_of_it(folder):
    needs_extra()
    demo = Demo(folder, "--cluster")
    try:
        assert eventually(lambda: demo.served() >= 400, PATIENCE_S), demo.process.poll()
        demo.process.send_signal(signal.SIGINT)
        out, _ = demo.process.communicate(timeout=PATIENCE_S)
    finally:
        demo.process.kill()

    assert demo.process.returncode == 130, out
    assert "the same command goes on from here" in out
    assert eventually(lambda: demo.pids() == [], 10)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_broker_database_and_roles_are_killed_and_the_worse_version_is_rolled_back(folder):
    needs_extra()
    demo = Demo(folder, "--cluster", "--exit")
    try:
        assert eventually(lambda: demo.served() >= 400, PATIENCE_S), demo.process.poll()
        (cluster,) = demo.pids("penstock.demo.cluster")
        os.kill(cluster, signal.SIGKILL)
        out, _ = demo.process.communicate(timeout=TOLD_S)
    finally:
        demo.process.kill()

    assert demo.process.returncode == 0, out
    assert "cluster was ended by SIGKILL" in out
    assert "digits-v3: rolled-back" in out
    assert "was counted once" in out
    assert agreed(out)["answers that were acted on"] > 400
    assert eventually(lambda: demo.pids() == [], 10)
