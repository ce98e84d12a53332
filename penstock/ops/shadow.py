"""What a shadow runner tells: its candidates, what they answered, and why one does not."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.installation import Installation
from penstock.ops.health import Check
from penstock.ops.probe import Probe, up
from rollout.shadow_pass import CONSUMER, Shadow
from streams import positions
from streams.db.engine import reading
from streams.errors import InputError
from streams.presence import Told
from streams.topics import EVENTS


class Runner(Collector):
    """One shadow runner, watched from outside of its loop."""

    def __init__(self, here: Installation, shadow: Shadow) -> None:
        self._here, self._shadow = here, shadow
        self._log = Probe("the log", lambda: here.log.state(EVENTS.name))
        self._lag = Probe("the database", self._behind)

    @property
    def checks(self) -> Mapping[str, Check]:
        """Log and database answer, and the loop is not waiting; a candidate may be at fault."""
        return {
            "log": self._log.fault,
            "database": self._lag.fault,
            "shadow": lambda: self._shadow.waiting,
        }

    def tell(self) -> Told:
        faults = [tally.fault for tally in self._shadow.tallies.values() if tally.fault]
        return Told(fault=self._shadow.waiting or "; ".join(faults)[:500])

    def collect(self) -> Iterator[Metric]:
        yield from up(log=self._log, database=self._lag)
        labels = ["model", "version"]
        answers = CounterMetricFamily("penstock_shadow_answers", "Shadow answers", labels=labels)
        errors = CounterMetricFamily("penstock_shadow_errors", "Error answers", labels=labels)
        starts = CounterMetricFamily("penstock_shadow_starts", "Children begun", labels=labels)
        for key, tally in sorted(self._shadow.tallies.items()):
            answers.add_metric(key, tally.answers)
            errors.add_metric(key, tally.errors)
            starts.add_metric(key, tally.starts)
        yield from (answers, errors, starts)
        if (lag := self._lag.found()) is not None:
            yield GaugeMetricFamily("penstock_shadow_lag_records", "Records not read", value=lag)

    def _behind(self) -> int:
        ends = {p: bounds.end for p, bounds in self._here.log.bounds(EVENTS.name).items()}
        with reading(self._here.engine) as connection:
            standing = positions.standing(connection, consumer=CONSUMER, topic=EVENTS.name)
        return sum(positions.behind(ends, standing).values())


def pair(text: str) -> tuple[str, str]:
    """A model and a version from `MODEL=VERSION`."""
    model, equals, version = text.rpartition("=")
    if not (model and equals and version):
        raise InputError(
            f"{text!r} is not a model and a version", field="candidate", fix="--candidate spam=v42"
        )
    return model, version
