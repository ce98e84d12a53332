"""How many events a second `POST /v1/events` takes, made durable, and how many it could decode.

    python -m benchmarks.ingest [--json] [--seconds 10] [--connections 16]

`ingest.http`: 500 events of 25 features a request over HTTP on the loopback, the log on disk with
synchronous=FULL, the sender on the same machine. `ingest.decode_limit`: decoding and partitioning
the same bodies, and nothing else, in one thread. Each connection waits for an answer before it
sends again, so few connections measure the wait for the group commit instead of the server.
"""

import argparse
import multiprocessing
import random
import socket
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

import streams.tables  # noqa: F401 - its tables are on the metadata
from benchmarks.figures import Figure, tell
from penstock.settings import Settings
from penstock.web import batches
from penstock.web.app import create_app
from penstock.web.serve import serve
from streams.db.clock import Clock
from streams.db.engine import connect
from streams.db.metadata import metadata
from streams.keys import Principal
from streams.logs.embedded import EmbeddedLog
from streams.logs.group_commit import GroupCommit
from streams.topics import EVENTS

EVENTS_PER_REQUEST = 500
FEATURES = 25
BODIES = 40
WARM_UP_S = 1.0
GOAL_PER_S = 60_000
PARTITIONS = 12


def body(rng: random.Random) -> bytes:
    """500 predictions as JSON Lines, as a client would write them."""
    encode = msgspec.json.Encoder().encode
    return b"\n".join(encode(event(rng)) for _ in range(EVENTS_PER_REQUEST))


def event(rng: random.Random) -> dict[str, object]:
    return {
        "type": "io.penstock.prediction.v1",
        "model": "mailguard",
        "prediction_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "version": "43",
        "time": 1_760_000_000_000 + rng.randrange(60_000),
        "route": "default",
        "arm": "champion",
        "route_version": 317,
        "unit_id": f"account-{rng.randrange(5000)}",
        "output": {"label": "spam", "score": round(rng.random(), 6)},
        "latency_ms": round(rng.random() * 20, 2),
        "features": {f"f{k:02d}": round(rng.random(), 4) for k in range(FEATURES)},
        "tags": {"country": "BR"},
    }


def decode_limit(bodies: list[bytes], seconds: float) -> float:
    """Events a second that one thread splits, decodes and partitions."""
    taken, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        lines = batches.split(bodies[taken % len(bodies)], {}, EVENTS_PER_REQUEST)
        batches.read(lines, Principal(None), PARTITIONS)
        taken += 1
    return taken * EVENTS_PER_REQUEST / spent


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """The port of an app on a fresh installation in `folder`."""
    settings = Settings(data_dir=folder, high_water_bytes=1 << 50)
    log = EmbeddedLog(settings.log_path, clock=Clock())
    log.ensure(EVENTS.name, PARTITIONS)
    engine = connect(settings.database)
    metadata.create_all(engine)
    commits = GroupCommit(log, window_s=settings.group_commit_ms / 1000)
    app = create_app(settings=settings, log=log, commits=commits, engine=engine, checks={})
    stop, started, ports = threading.Event(), threading.Event(), list[int]()

    def on_start(port: int) -> None:
        ports.append(port)
        started.set()

    server = threading.Thread(
        target=serve, args=(app, "127.0.0.1", 0, stop), kwargs={"started": on_start}
    )
    server.start()
    started.wait()
    try:
        yield ports[0]
    finally:
        stop.set()
        server.join()
        commits.close()
        log.close()
        engine.dispose()


def send(port: int, bodies: list[bytes], seconds: float, connections: int) -> list[list[float]]:
    """When each request was answered and how long that took, of every connection."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_send_all, (port, bodies, seconds, connections))


def _send_all(
    port: int, bodies: list[bytes], seconds: float, connections: int
) -> list[list[float]]:
    answers: list[list[float]] = []
    senders = [
        threading.Thread(target=_send, args=(port, bodies[k::connections], seconds, answers))
        for k in range(connections)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return answers


def _send(port: int, bodies: list[bytes], seconds: float, answers: list[list[float]]) -> None:
    requests = [
        b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
        for body in bodies
    ]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.monotonic()
        k = 0
        while (sent := time.monotonic()) - begin < seconds + WARM_UP_S:
            connection.sendall(requests[k % len(requests)])
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(65_536) or b"the server closed the connection}"
            assert answer.startswith(b"HTTP/1.1 202"), answer[:500]
            now = time.monotonic()
            answers.append([now - begin, now - sent])
            k += 1


def run(folder: Path, seconds: float, connections: int) -> list[Figure]:
    """Every figure of this benchmark, measured now."""
    rng = random.Random(3)
    bodies = [body(rng) for _ in range(BODIES)]
    limit = decode_limit(bodies, seconds / 3)
    with served(folder) as port:
        answers = [a for a in send(port, bodies, seconds, connections) if a[0] >= WARM_UP_S]
    span_s = max(a[0] for a in answers) - WARM_UP_S
    per_s = len(answers) * EVENTS_PER_REQUEST / span_s
    slowest = statistics.quantiles([a[1] for a in answers], n=100)[98]
    return [
        Figure(
            "ingest.http",
            round(per_s),
            "events/s",
            f">= {GOAL_PER_S}",
            f"one thread decodes {limit:,.0f}",
        ),
        Figure("ingest.http.p99", round(slowest * 1000, 1), "ms", "shown", "at full load"),
        Figure("ingest.decode_limit", round(limit), "events/s", "shown", "one thread"),
        Figure("ingest.http.of_limit", round(per_s / limit, 3), "share", "shown", "decoding alone"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="where the log is written; a disk, not memory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures = run(Path(folder), arguments.seconds, arguments.connections)
    for figure in figures:
        tell(figure, as_json=arguments.json)


if __name__ == "__main__":
    main()
