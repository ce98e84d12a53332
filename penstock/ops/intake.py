"""What a worker tells: its counts, and how far its partitions are behind."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy import select

from penstock.installation import Installation
from penstock.ops.health import Check
from penstock.ops.probe import Probe, up
from streams.db.engine import reading
from streams.pipeline import Pipeline
from streams.positions import NO_WATERMARK
from streams.presence import Told
from streams.taken import Spread


class Worker(Collector):
    """One worker, watched from outside of its loop."""

    def __init__(self, here: Installation, worker: Pipeline) -> None:
        self._here = here
        self._worker = worker
        topic = worker.holding.topic.name
        self._ends = Probe("the log", lambda: {p: b.end for p, b in here.log.bounds(topic).items()})
        self._store = Probe("the database", lambda: _answers(here))

    @property
    def checks(self) -> Mapping[str, Check]:
        """Log and database answer, and the loop is not waiting; partitions it may have none."""
        return {
            "log": self._ends.fault,
            "database": self._store.fault,
            "intake": lambda: self._worker.taken.waiting,
        }

    def tell(self) -> Told:
        return Told(fault=self._worker.taken.waiting)

    def collect(self) -> Iterator[Metric]:
        yield from up(log=self._ends, database=self._store)
        yield from self._places()
        yield from self._counts()
        taken = self._worker.taken
        yield _histogram(
            "penstock_worker_batch_seconds", "From a batch's poll to its commit", taken.batch_s
        )
        yield _histogram(
            "penstock_worker_delay_seconds",
            "From the log to the commit, for each event that of the oldest in its batch",
            taken.delay_s,
        )

    def _places(self) -> Iterator[Metric]:
        held = dict(self._worker.holding.positions)
        ends = self._ends.found() or {}
        now_ms = self._here.log.now_ms()
        lag = GaugeMetricFamily(
            "penstock_worker_lag_records", "Records not counted yet", labels=["partition"]
        )
        behind = GaugeMetricFamily(
            "penstock_worker_watermark_lag_seconds",
            "How far the watermark is behind the log's clock", labels=["partition"],
        )  # fmt: skip
        for partition, at in sorted(held.items()):
            if partition in ends:
                lag.add_metric([str(partition)], max(0, ends[partition] - at.next))
            if at.watermark_ms != NO_WATERMARK:
                behind.add_metric([str(partition)], (now_ms - at.watermark_ms) / 1000)
        yield GaugeMetricFamily("penstock_worker_partitions", "Partitions held", value=len(held))
        yield lag
        yield behind

    def _counts(self) -> Iterator[Metric]:
        taken, holding = self._worker.taken, self._worker.holding
        for name, text, count in (
            ("events", "Events counted", taken.events),
            ("answers", "Answers counted", taken.answers),
            ("labels", "Labels counted", taken.labels),
            ("batches", "Batches committed", taken.batches),
            ("folds_again", "Batches that lost a race and were folded anew", taken.folds_again),
            ("waits", "Times that log or database were away, full or busy", taken.waits),
            ("claims", "Partitions that became this worker's", holding.claims),
            ("gaps", "Gaps that retention made before records were counted", holding.gaps),
            ("gap_records", "Records lost in gaps", holding.gap_records),
        ):
            yield CounterMetricFamily(f"penstock_worker_{name}", text, value=count)
        rejected = CounterMetricFamily(
            "penstock_worker_rejected", "Dead letters written, by code", labels=["code"]
        )
        for code, count in sorted(dict(taken.by_code).items()):
            rejected.add_metric([code], count)
        yield rejected


def _answers(here: Installation) -> bool:
    with reading(here.engine) as connection:
        return connection.execute(select(1)).first() is not None


def _histogram(name: str, text: str, spread: Spread) -> Metric:
    counts = list(spread.counts)
    sums = [sum(counts[: k + 1]) for k in range(len(counts))]
    bounds = [str(bound) for bound in spread.bounds]
    return HistogramMetricFamily(
        name, text, buckets=list(zip([*bounds, "+Inf"], map(float, sums), strict=True)),
        sum_value=spread.total,
    )  # fmt: skip
