"""`POST /v1/events`: a body of events in, durable in the log when it is answered.

The answer names each event that was not taken; the others are kept. Sending a body again is
always safe: events are told apart by their own keys, and duplicates are found when they are
counted, which is after the answer. So the answer does not count them.
"""

import asyncio
import itertools
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from penstock.settings import Settings
from penstock.web import auth, batches, bodies
from penstock.web.batches import Batch, Rejected, Warning
from penstock.web.metrics import Metrics
from penstock.web.problems import Problem
from penstock.web.rates import MinuteCaps, TokenBuckets
from penstock.web.regroup import Regrouper
from penstock.web.watch import Watch
from streams.errors import UnavailableError
from streams.events import TYPES
from streams.hashing import partition_of
from streams.keys import KeyRing, Principal

PATH = "/v1/events"
KEPT_REJECTS_PER_MINUTE = 100
RETRY_AFTER_S = 2
THREAD_BYTES = 64 << 10

_log = logging.getLogger(__name__)


class Answer(msgspec.Struct, frozen=True):
    """What became of a batch. `accepted` events are durable, duplicates among them included."""

    accepted: int
    rejected: list[Rejected]
    warnings: list[Warning]


class Ingest:
    """The way of a body into the log."""

    def __init__(
        self,
        *,
        settings: Settings,
        keys: KeyRing,
        watch: Watch,
        regrouper: Regrouper,
        metrics: Metrics,
        partitions: int,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._watch = watch
        self._regrouper = regrouper
        self._metrics = metrics
        self._partitions = partitions
        self._reader = bodies.Reader(settings.ingest_body_bytes)
        self._rates = TokenBuckets(settings.key_rate_per_s)
        self._kept = MinuteCaps(KEPT_REJECTS_PER_MINUTE)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._batches = itertools.count()

    async def receive(self, request: Request) -> Response:
        """Answers 202 once what was taken is durable; raises Problem when nothing was."""
        with self._metrics.request_s.time():
            try:
                answer = await self._taken(request)
            except Problem as problem:
                self._metrics.refuse(problem.slug)
                raise
        return Response(msgspec.json.encode(answer), 202, media_type="application/json")

    def close(self) -> None:
        self._thread.shutdown()

    async def _taken(self, request: Request) -> Answer:
        principal = await auth.principal(request, self._keys)
        if not (principal.may("events:write") or principal.may("labels:write")):
            raise Problem("not-allowed", "the key has neither events:write nor labels:write")
        refusal = self._watch.refusal()
        if refusal is not None:
            raise refusal
        bodies.check_type(request)
        gzipped = bodies.is_gzip(request)
        try:
            async with self._reader.body(request) as body:
                self._metrics.body_bytes.inc(len(body))
                batch = await self._decoded(body, gzipped, request, principal)
                await self._keep(batch, principal)
        except TimeoutError as error:
            raise Problem("slow-body") from error
        except ClientDisconnect as error:
            raise Problem("slow-body", "the client went away") from error
        if not batch.events and all(r.code in batches.UNREADABLE for r in batch.rejected):
            raise _unreadable(batch.rejected)
        return Answer(batch.events, batch.rejected, batch.warnings)

    async def _decoded(
        self, body: bytes, gzipped: bool, request: Request, principal: Principal
    ) -> Batch:
        if not gzipped and len(body) <= THREAD_BYTES:
            return self._read(body, gzipped, request, principal)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, self._read, body, gzipped, request, principal
        )

    def _read(self, body: bytes, gzipped: bool, request: Request, principal: Principal) -> Batch:
        if gzipped:
            body = bodies.unzipped(body, bodies.UNPACKED_TIMES * self._settings.ingest_body_bytes)
        lines = batches.split(body, request.headers, self._settings.ingest_batch_count)
        wait_s = self._rates.spend(principal.key_id or "", len(lines), time.monotonic())
        if wait_s:
            raise Problem("too-fast", retry_after_s=wait_s)
        return batches.read(
            lines,
            principal,
            self._partitions,
            strict=request.query_params.get("strict") in ("1", "true"),
            look_closer=next(self._batches) % batches.SAMPLED == 0,
        )

    async def _keep(self, batch: Batch, principal: Principal) -> None:
        """The batch is durable; of its rejects as many as the key may still have kept."""
        key = principal.key_id
        room = self._kept.take(key or "", len(batch.refused), time.monotonic())
        self._metrics.unkept.inc(len(batch.refused) - room)
        refused = {partition_of("", key or "", self._partitions): batch.refused[:room]}
        try:
            with self._metrics.append_s.time():
                await self._regrouper.append(key, batch.by_partition, refused if room else {})
        except UnavailableError as error:
            _log.warning("a batch was not appended: %s", error.message)
            raise Problem("log-unavailable", retry_after_s=RETRY_AFTER_S) from error
        self._metrics.accept(batch.models, self._watch.seen.models)
        self._metrics.reject(Counter(r.code for r in batch.rejected))
        self._metrics.unknown_fields.inc(sum(w.count for w in batch.warnings))


def _unreadable(rejected: list[Rejected]) -> Problem:
    return Problem(
        "unreadable-body",
        rejected[0].detail,
        errors=[{"index": r.index, "code": r.code, "detail": r.detail} for r in rejected[:10]],
    )


def install(app: FastAPI, ingest: Ingest) -> None:
    """`POST /v1/events` is served and described."""
    app.add_api_route(
        PATH,
        ingest.receive,
        methods=["POST"],
        status_code=202,
        response_class=Response,
        summary="Send events",
        tags=["events"],
        openapi_extra=_described(),
    )


def schemas() -> dict[str, Any]:
    """The OpenAPI components that the description of this path refers to."""
    _, components = msgspec.json.schema_components(
        [*TYPES.values(), Answer], ref_template="#/components/schemas/{name}"
    )
    return components


def _described() -> dict[str, Any]:
    events = {"oneOf": [{"$ref": f"#/components/schemas/{k.__name__}"} for k in TYPES.values()]}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    said = {400: "Unreadable", 401: "Key missing or unknown", 403: "Not allowed",
            408: "Too slow", 413: "Too large", 415: "Type or encoding not taken",
            429: "Too fast; Retry-After", 503: "Not now; Retry-After"}  # fmt: skip
    return {
        "parameters": [
            {
                "name": "strict",
                "in": "query",
                "description": "refuse events with unknown fields",
                "schema": {"type": "string", "enum": ["0", "1"]},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [events, {"type": "array", "items": events}]}
                },
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/cloudevents+json": {"schema": {"type": "object"}},
                "application/cloudevents-batch+json": {"schema": {"type": "array", "items": {}}},
            },
        },
        "responses": {
            "202": {
                "description": "What was taken is durable",
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}
                },
            },
            **{str(s): {"description": text, "content": problem} for s, text in said.items()},
        },
    }
