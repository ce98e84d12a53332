"""A Faust app that cannot live says why, holds nobody up, and lets its process end."""

import subprocess
import sys

PATIENCE_S = 60

ENDED = """
import time
from streams.errors import UnavailableError
from streams.logs.faust_app import FaustApp
from streams.logs.kafka_cluster import Cluster

app = FaustApp(Cluster("127.0.0.1:1", worker="w"), topic="events", group="g")
while app.failure is None:
    app.take(app.assignment(), 0.1)
print(type(app.failure).__name__, app.failure.why)
print(sorted(app.assignment().partitions))
began = time.monotonic()
try:
    app.seek({0: 1})
except UnavailableError as error:
    print(error)
app.commit({0: 1}, within_s=5.0)
app.stop()
assert time.monotonic() - began < 1
"""


def test_without_a_broker_it_fails_with_the_cause_and_whoever_speaks_to_it_goes_on():
    # A process of its own: Faust leaves the loops of threads that never ran to the collector.
    done = subprocess.run(
        [sys.executable, "-c", ENDED], capture_output=True, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    failure, ours, sought = done.stdout.splitlines()
    assert failure.startswith("UnavailableError KafkaConnectionError")
    assert "127.0.0.1" in failure
    assert (ours, sought) == ("[]", "Faust could not seek")
    assert done.stderr == ""
