"""The way to a topic of Kafka, past the server: envelopes, each of one partition.

kafka-python (extra `kafka`) is imported by the first request. Its producer is idempotent and
waits for the in-sync replicas, so what is settled is as durable as the topic.
"""

from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec

from .transport import IMPORTING, Fate, Rejected, Reply

if TYPE_CHECKING:  # not a cycle: at run time it is imported by the first request
    from kafka import KafkaProducer

SCHEME = "kafka://"
_RECORD_BYTES = 2 << 20  # the largest request, and the counts that ride on it
_OUTCOME_MISSING = "io.penstock.outcome-missing.v1"
# Errors of kafka-python by name, for it is not imported yet.
_DENIED = ("AuthorizationFailedError", "SaslAuthenticationFailedError", "InvalidTopicError")
_TOO_LARGE = frozenset({"MessageSizeTooLargeError", "RecordListTooLargeError"})
_ABANDONED: "list[KafkaProducer]" = []  # of parents: nothing of them may be closed by a child


class _Routing(msgspec.Struct):
    """The fields that decide where an event goes."""

    type: str
    model: str
    prediction_id: str | None = None
    join_key: str | None = None
    unit_id: str | None = None
    instance: str | None = None


_routing = msgspec.json.Decoder(_Routing)


def partition_of(line: bytes, partitions: int) -> int:
    """blake2b-64(model NUL key) mod partitions, as the server's `docs/vectors/hashes.json`."""
    event = _routing.decode(line)
    join_key = None if event.type == _OUTCOME_MISSING else event.join_key
    key = event.instance or join_key or event.prediction_id or event.unit_id or ""
    digest = blake2b(f"{event.model}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % partitions


class KafkaTransport:
    """One producer on one topic, made when it is needed; used by one thread at a time."""

    def __init__(self, url: str, *, security: Mapping[str, Any], timeout_s: float) -> None:
        servers, _, self._topic = url.removeprefix(SCHEME).partition("/")
        if not servers or not self._topic or set(self._topic) & set("/?#"):
            raise ValueError(f"url is {url!r}; must be {SCHEME}host:9092,host:9092/topic")
        if find_spec("kafka") is None:
            raise ImportError("kafka-python is missing: pip install 'penstock-client[kafka]'")
        timeout_ms = int(timeout_s * 1000)
        self._settings: dict[str, Any] = {
            "bootstrap_servers": servers.split(","),
            "client_id": "penstock-client",
            "compression_type": "lz4",
            "max_request_size": _RECORD_BYTES,
            "batch_size": _RECORD_BYTES,
            "allow_auto_create_topics": False,
            "bootstrap_timeout_ms": timeout_ms,
            "max_block_ms": timeout_ms,
            "request_timeout_ms": timeout_ms,
            "delivery_timeout_ms": timeout_ms,
            "reconnect_backoff_max_ms": 1_000,
            **security,
        }
        self._timeout_s = timeout_s
        self._producer: KafkaProducer | None = None

    def post(self, lines: list[bytes]) -> Reply:
        """The lines were acknowledged by Kafka, or the reply says which were not, and why."""
        try:
            producer = self._producer = self._producer or self._connect()
            groups = _by_partition(lines, len(producer.partitions_for(self._topic)))
            sent = [
                (places, producer.send(self._topic, _envelope(lines, places), partition=partition))
                for partition, places in groups.items()
            ]
            producer.flush(self._timeout_s)
        except Exception as error:  # whatever it was, nothing is known to be taken
            self.close()
            return Reply(_fate(error), _name(error))
        failed = [(places, future.exception) for places, future in sent if not future.succeeded()]
        if failed:
            self.close()  # after an error an idempotent producer may be of no more use
        return _understood(len(lines), failed)

    def close(self) -> None:
        """The producer is gone; the next request makes another."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(Exception):  # what it still held is sent again by the next one
                producer.close(timeout=0)

    def abandon(self) -> None:
        """In a forked child: the producer's threads are not here, and its sockets the parent's."""
        if self._producer is not None:
            self._producer._closed = True  # else its end would flush, and wait for locks
            _ABANDONED.append(self._producer)

    def _connect(self) -> "KafkaProducer":
        with IMPORTING:
            from kafka import KafkaProducer
        producer = KafkaProducer(**self._settings)
        # It would close itself when the process ends, before the client has sent the rest.
        producer._unregister_cleanup()
        return producer


def _by_partition(lines: list[bytes], partitions: int) -> dict[int, list[int]]:
    """Which lines go where, by their places in the request."""
    groups: dict[int, list[int]] = {}
    for place, line in enumerate(lines):
        groups.setdefault(partition_of(line, partitions), []).append(place)
    return groups


def _envelope(lines: list[bytes], places: list[int]) -> bytes:
    header = b'{"penstock":1,"count":%d}' % len(places)
    return b"\n".join((header, *(lines[place] for place in places)))


def _understood(count: int, failed: list[tuple[list[int], Exception]]) -> Reply:
    """Envelopes fail apart: the lines of those that did go out again, or are lost by their size."""
    if not failed:
        return Reply(Fate.SETTLED, "acknowledged", count)
    _, first = failed[0]
    if sum(len(places) for places, _ in failed) == count and _name(first) not in _TOO_LARGE:
        return Reply(_fate(first), _name(first))
    rejected = tuple(
        Rejected(place, _name(error), str(error)[:300], retryable=_name(error) not in _TOO_LARGE)
        for places, error in failed
        for place in places
    )
    return Reply(Fate.SETTLED, _name(first), count - len(rejected), rejected=rejected)


def _fate(error: Exception) -> Fate:
    return Fate.DENIED if any(name in repr(error) for name in _DENIED) else Fate.LATER


def _name(error: Exception) -> str:
    """What it is called; where kafka-python wraps a refusal in a bare error, the refusal."""
    return next((name for name in _DENIED if name in repr(error)), type(error).__name__)
