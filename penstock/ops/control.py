"""What a control process tells: its lease, its duties, and what waits to be sent."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.control import Control
from penstock.installation import Installation
from penstock.ops.health import Check
from penstock.ops.probe import Probe, up
from penstock.webhooks.delivering import OUTCOMES, Deliverer
from streams import deliveries, outbox, webhooks
from streams.db.engine import reading
from streams.presence import Duty, Told
from streams.topics import EVENTS
from streams.webhooks import Webhook


class Keeper(Collector):
    """One control process, watched from outside of its loops."""

    def __init__(self, here: Installation, control: Control, deliverer: Deliverer) -> None:
        self._here = here
        self._control = control
        self._deliverer = deliverer
        self._log = Probe("the log", lambda: here.log.state(EVENTS.name))
        self._outbox = Probe("the database", self._waiting)
        self._webhooks = Probe("the database", self._told)

    @property
    def checks(self) -> Mapping[str, Check]:
        """Log and database answer; the lease may be another's."""
        return {"log": self._log.fault, "database": self._outbox.fault}

    def tell(self) -> Told:
        duties = [
            Duty(name, done.runs, done.failures, done.last_ms or None, done.fault)
            for name, done in self._control.done.items()
        ]
        return Told(duties=duties)

    def collect(self) -> Iterator[Metric]:
        yield from up(log=self._log, database=self._outbox)
        yield GaugeMetricFamily(
            "penstock_control_lease_held", "Whether this process does the duties",
            value=float(self._control.holds.is_set()),
        )  # fmt: skip
        yield from self._duties()
        yield from self._deliveries()
        if (waiting := self._outbox.found()) is not None:
            count, age_s = waiting
            yield GaugeMetricFamily("penstock_outbox_messages", "Messages not sent", value=count)
            yield GaugeMetricFamily(
                "penstock_outbox_age_seconds", "Age of the oldest message not sent", value=age_s
            )

    def _duties(self) -> Iterator[Metric]:
        runs = CounterMetricFamily("penstock_control_duty_runs", "Runs ended well", labels=["duty"])
        failures = CounterMetricFamily(
            "penstock_control_duty_failures", "Runs that failed", labels=["duty"]
        )
        last = GaugeMetricFamily(
            "penstock_control_duty_last_run_timestamp_seconds",
            "When a run last ended well", labels=["duty"],
        )  # fmt: skip
        for name, done in self._control.done.items():
            runs.add_metric([name], done.runs)
            failures.add_metric([name], done.failures)
            if done.last_ms:
                last.add_metric([name], done.last_ms / 1000)
        yield from (runs, failures, last)

    def _deliveries(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily(
            "penstock_webhook_attempts", "Deliveries tried", labels=["outcome"]
        )
        for outcome in OUTCOMES:
            attempts.add_metric([outcome], self._deliverer.attempts[outcome])
        yield attempts
        waiting = GaugeMetricFamily(
            "penstock_webhook_waiting", "Deliveries not taken yet", labels=["webhook"]
        )
        failing = GaugeMetricFamily(
            "penstock_webhook_failing_seconds", "How long it has taken nothing",
            labels=["webhook"],
        )  # fmt: skip
        for each, count in (self._webhooks.found() or {}).items():
            failing_ms = each.failing_ms
            since_ms = 0 if failing_ms is None else self._here.clock.wall_ms() - failing_ms
            waiting.add_metric([each.id], count)
            failing.add_metric([each.id], max(0, since_ms) / 1000)
        yield from (waiting, failing)

    def _told(self) -> dict[Webhook, int]:
        """Every live webhook, and how much is on its way to it."""
        with reading(self._here.engine) as connection:
            waits = {each.webhook: each.count for each in deliveries.waiting(connection)}
            return {each: waits.get(each.id, 0) for each in webhooks.live(connection)}

    def _waiting(self) -> tuple[int, float]:
        """(messages not sent, seconds since the oldest was written)."""
        with reading(self._here.engine) as connection:
            count, oldest_ms = outbox.waiting(connection)
        age_ms = 0 if oldest_ms is None else self._here.clock.wall_ms() - oldest_ms
        return count, max(0, age_ms) / 1000
