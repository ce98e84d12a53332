"""What this process tells Prometheus about ingest: `GET /metrics`.

Labels come from closed sets: codes and problems of ours, partitions, and declared models. What
a client can invent (an undeclared model, a field) never makes a series.
"""

import time
from collections.abc import Collection, Iterator, Mapping

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from penstock.web.board import Board
from penstock.web.desk import Desk
from penstock.web.regroup import Regrouper
from penstock.web.watch import Watch

OBSERVED = "observed"
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The counters of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.accepted_count = 0
        self.rejected_count = 0
        self._accepted = Counter(
            "penstock_ingest_events_accepted", "Events that are durable in the log",
            ["model"], registry=self.registry,
        )  # fmt: skip
        self._rejected = Counter(
            "penstock_ingest_events_rejected", "Events that were not taken, by reason",
            ["code"], registry=self.registry,
        )  # fmt: skip
        self._refused = Counter(
            "penstock_ingest_requests_refused", "Requests of which nothing was taken, by problem",
            ["problem"], registry=self.registry,
        )  # fmt: skip
        self.unkept = Counter(
            "penstock_ingest_rejects_unkept", "Rejected events past their key's cap: only counted",
            registry=self.registry,
        )  # fmt: skip
        self.unknown_fields = Counter(
            "penstock_ingest_unknown_fields", "Unknown fields in the batches that were looked at",
            registry=self.registry,
        )  # fmt: skip
        self.body_bytes = Counter(
            "penstock_ingest_body_bytes", "Bytes of bodies as they were sent",
            registry=self.registry,
        )  # fmt: skip
        self.request_s = Histogram(
            "penstock_ingest_request_seconds", "From the first byte of a request to its answer",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.append_s = Histogram(
            "penstock_ingest_append_seconds", "Until what was decoded is durable",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip

    def accept(self, models: Mapping[str, int], declared: Collection[str]) -> None:
        for model, count in models.items():
            self.accepted_count += count
            self._accepted.labels(model if model in declared else OBSERVED).inc(count)

    def reject(self, codes: Mapping[str, int]) -> None:
        for code, count in codes.items():
            self.rejected_count += count
            self._rejected.labels(code).inc(count)

    def refuse(self, problem: str) -> None:
        self._refused.labels(problem).inc()


class _Gauges(Collector):
    """How things stand at the time of the scrape."""

    def __init__(self, watch: Watch, regrouper: Regrouper, board: Board, desk: Desk) -> None:
        self._watch = watch
        self._regrouper = regrouper
        self._board = board
        self._desk = desk

    def collect(self) -> Iterator[GaugeMetricFamily]:
        seen = self._watch.seen
        for name, text, value in (
            ("penstock_ingest_waiting_bytes", "Bytes not yet durable", self._regrouper.waiting),
            ("penstock_log_bytes", "Size of the log's files", seen.log_bytes),
            ("penstock_log_disk_free_bytes", "Free on the log's disk", seen.free_bytes),
            ("penstock_route_polls_waiting", "Clients that wait for a table", self._board.waiting),
            ("penstock_review_polls_waiting", "Services that wait for people", self._desk.waiting),
            ("penstock_routes_expired", "Routes whose table nobody renewed",
             self._board.expired(time.time_ns() // 1_000_000)),
        ):  # fmt: skip
            if value is not None:
                yield GaugeMetricFamily(name, text, value=float(value))
        lag = GaugeMetricFamily(
            "penstock_intake_lag_records", "Records not counted yet", labels=["partition"]
        )
        for partition, records in sorted(seen.lag.items()):
            lag.add_metric([str(partition)], records)
        yield lag


def install(
    app: FastAPI, metrics: Metrics, watch: Watch, regrouper: Regrouper, board: Board, desk: Desk
) -> None:
    """`GET /metrics` answers in Prometheus' text format."""
    metrics.registry.register(_Gauges(watch, regrouper, board, desk))

    @app.get("/metrics", include_in_schema=False)
    def scrape() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
