"""A Faust app hears of every rebalance; one that cannot live says why, and lets its process end."""

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

# While Faust tells of an end, the thread that talks to the group begins the next rebalance.
AT_ONCE = """
import tempfile
import faust
from streams.logs.faust_driver import new_app
from streams.logs.kafka_cluster import Cluster

heard = []

class Told:
    def rebalance_began(self):
        heard.append("began")

    def rebalance_ended(self):
        heard.append("ended")

class Sensor(faust.Sensor):
    ends = 0

    def on_rebalance_end(self, app, state):
        self.ends += 1
        if self.ends == 1:
            app.on_rebalance_start()

sensor = Sensor()
with tempfile.TemporaryDirectory() as folder:
    app = new_app(Cluster("127.0.0.1:1", worker="w"), group="g", folder=folder, told=Told())
    app.sensors.add(sensor)
    app.on_rebalance_start()
    app.on_rebalance_end()
    app.on_rebalance_end()
print(*heard)
print(sensor.ends)
"""


def test_the_end_of_a_rebalance_that_begins_at_the_end_of_another_is_heard():
    done = run(AT_ONCE)

    heard, ends_that_sensors_hear = done.stdout.splitlines()
    assert heard == "began began ended ended"
    assert ends_that_sensors_hear == "1", "Faust tells its sensors of both: ours can be one"


def test_without_a_broker_it_fails_with_the_cause_and_whoever_speaks_to_it_goes_on():
    done = run(ENDED)

    failure, ours, sought = done.stdout.splitlines()
    assert failure.startswith("UnavailableError KafkaConnectionError")
    assert "127.0.0.1" in failure
    assert (ours, sought) == ("[]", "Faust could not seek")
    assert done.stderr == ""


def run(text):
    """In its own process: Faust leaves the loops of threads that never ran to the collector."""
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done
