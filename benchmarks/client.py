"""What the client costs the service that uses it.

    python -m benchmarks.client [--json]

The figure that matters is `client.p99_shift`: a toy service answers at a steady rate, in stretches
with and without the client by turns, while the server is well, killed, slow, full, or refuses the
key. A latency runs from the instant at which the request was due, so a late start counts too.
On a machine that does other work the shift means nothing: each line says how much the service
differs from itself.
"""

import argparse
import http.server
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

import penstock_client

from benchmarks.figures import Figure, tell

RATE_PER_S = 500
STRETCH_REQUESTS = 250
WORK_S = 0.001
FEATURES = {f"feature_{index}": index * 1.37 for index in range(25)}
MODES = ("ok", "killed", "slow", "full", "wrong_key")


class Remote(http.server.BaseHTTPRequestHandler):
    """Stands in for the server, in a process of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    mode = "ok"

    def do_GET(self) -> None:
        """No route table, as late as the poll may be held."""
        time.sleep(25)
        self.send_error(404)

    def do_POST(self) -> None:
        """One answer in the manner of the mode."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.mode == "slow":
            time.sleep(3)
        status = {"full": 503, "wrong_key": 401}.get(self.mode, 202)
        body = b'{"accepted":0,"duplicate":0,"rejected":[]}' if status == 202 else b"{}"
        head = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\nRetry-After: 1\r\n\r\n"
        self.wfile.write(head.encode() + body)


@contextmanager
def remote(mode: str) -> Iterator[str]:
    """The URL of a server in that mode; a killed one leaves a port that refuses."""
    command = [sys.executable, "-m", "benchmarks.client", "--serve", mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            if mode == "killed":
                process.kill()
            yield url
        finally:
            process.kill()


def serve(mode: str) -> None:
    """Answers until it is killed; the first line of output is the port."""
    Remote.mode = mode
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Remote)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    print(server.server_port, flush=True)
    server.serve_forever()


def import_ms() -> float:
    """The median of ten imports, each in a fresh interpreter."""
    code = (
        "import time; began = time.perf_counter(); import penstock_client;"
        "print((time.perf_counter() - began) * 1000)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        for _ in range(10)
    ]
    return statistics.median(float(run.stdout) for run in runs)


class CallCosts(NamedTuple):
    """What the calls cost on the caller's thread, in microseconds."""

    assign_us: float
    record_us: float


def call_costs(folder: str) -> CallCosts:
    """Means over bursts as long as a service's busy second, with a server that takes them."""
    rounds, calls = 10, 2_000
    with remote("ok") as url, _client(url, folder) as client:
        assign_s, record_s = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            given = [client.assign(f"unit-{index}") for index in range(calls)]
            middle = time.perf_counter()
            for assignment in given:
                client.record(assignment, label="7", score=0.93, latency_ms=1.2, features=FEATURES)
            record_s.append(time.perf_counter() - middle)
            assign_s.append(middle - began)
            time.sleep(0.3)
    scale = 1e6 / calls
    return CallCosts(statistics.median(assign_s) * scale, statistics.median(record_s) * scale)


class Shift(NamedTuple):
    """How much later the slowest hundredth of the requests ends, in milliseconds."""

    with_client_ms: float
    between_stretches_ms: float  # without the client: what the machine does by itself


def p99_shift(mode: str, folder: str, requests: int) -> Shift:
    """The service with the client against itself without, by turns."""
    off: list[list[float]] = []
    on: list[float] = []
    with remote(mode) as url, _client(url, folder) as client:

        def with_client(index: int) -> None:
            assignment = client.assign(f"unit-{index}")
            with client.predicting(assignment, features=FEATURES) as predicting:
                _work()
                predicting.answer(label="7", score=0.93)

        _stretch(with_client)  # imports HTTP and opens the file and the connection
        while len(on) < requests:
            off.append(_stretch(lambda _: _work()))
            on += _stretch(with_client)
    even, odd = list(chain(*off[::2])), list(chain(*off[1::2]))
    return Shift((_p99(on) - _p99(even + odd)) * 1000, abs(_p99(even) - _p99(odd)) * 1000)


def _client(url: str, folder: str) -> penstock_client.Client:
    return penstock_client.Client(
        url, "digits", champion="41", key="ps_bench_key", state_dir=folder
    )


def _stretch(answer: Callable[[int], None]) -> list[float]:
    """Seconds from the instant at which each request was due to its end."""
    latencies = []
    began = time.perf_counter()
    for index in range(STRETCH_REQUESTS):
        due = began + index / RATE_PER_S
        if (ahead := due - time.perf_counter()) > 0:
            time.sleep(ahead)
        answer(index)
        latencies.append(time.perf_counter() - due)
    return latencies


def _work() -> None:
    until = time.perf_counter() + WORK_S
    total = 0
    while time.perf_counter() < until:
        total += sum(range(50))


def _p99(latencies: list[float]) -> float:
    return statistics.quantiles(latencies, n=100)[98]


def measure(requests: int) -> Iterator[Figure]:
    """Every figure, as soon as it is known."""
    yield Figure("client.import.ms", import_ms(), "ms", "< 80", "a fresh interpreter")
    folder = tempfile.mkdtemp(dir="/dev/shm" if sys.platform == "linux" else None)
    try:
        costs = call_costs(folder)
        yield Figure("client.assign.us", costs.assign_us, "us", "< 10", "no client")
        yield Figure("client.record.us", costs.record_us, "us", "< 10", "25 features, no client")
        for mode in MODES:
            shift = p99_shift(mode, folder, requests)
            against = (
                f"the same service without it, {RATE_PER_S}/s of {WORK_S * 1000:g} ms; "
                f"its own stretches differ by {shift.between_stretches_ms:.2f} ms"
            )
            yield Figure(f"client.p99_shift.{mode}.ms", shift.with_client_ms, "ms", "<= 1", against)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Prints one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--requests", type=int, default=2_000, help="per mode, with the client")
    parser.add_argument("--serve", choices=MODES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    for figure in measure(arguments.requests):
        tell(figure, as_json=arguments.json)


if __name__ == "__main__":
    main()
