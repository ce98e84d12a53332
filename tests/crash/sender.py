"""`python -m tests.crash.sender URL EVENTS_PER_S FILE...`: each file's lines, as a careful client.

Each file has a thread, a connection and an order of its own. What was not acknowledged with 202
is sent again, whatever happened to it, until it is. Prints a report as JSON.
"""

import http.client
import json
import random
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

AGAIN_S = 0.02
GIVE_UP_S = 120.0
LARGEST = 400  # events in a batch


class Lane:
    """One file on its way."""

    def __init__(self, host: str, path: Path, per_s: float) -> None:
        self._host = host
        self._left = path.read_bytes().splitlines()
        self._per_s = per_s
        self._draw = random.Random(path.name)
        self._connection: http.client.HTTPConnection | None = None
        self.events = len(self._left)
        self.tries = self.batches = self.rejected = 0
        self.longest_stall_s = 0.0

    def run(self) -> None:
        due = time.monotonic()
        while self._left:
            size = self._draw.randint(1, LARGEST)
            batch, self._left = self._left[:size], self._left[size:]
            self._deliver(b"\n".join(batch))
            due = max(due + len(batch) / self._per_s, time.monotonic() - 1)  # catches up a little
            time.sleep(max(0.0, due - time.monotonic()))
        if self._connection is not None:
            self._connection.close()

    def _deliver(self, body: bytes) -> None:
        begun = time.monotonic()
        self.batches += 1
        while (rejected := self._tried(body)) is None:
            if time.monotonic() - begun > GIVE_UP_S:
                raise TimeoutError(f"no 202 for {GIVE_UP_S:g} s")
            time.sleep(AGAIN_S)
        self.rejected += rejected
        self.longest_stall_s = max(self.longest_stall_s, time.monotonic() - begun)

    def _tried(self, body: bytes) -> int | None:
        """How many events were refused for good; None when nothing is known."""
        self.tries += 1
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, timeout=20)
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            self._connection.request("POST", "/v1/events", body, headers)
            answer = self._connection.getresponse()
            told = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            return None
        if answer.status == 202:
            return len(json.loads(told)["rejected"])
        if answer.status in (429, 503):
            return None
        raise RuntimeError(f"unexpected answer {answer.status}: {told[:500]!r}")


def main() -> None:
    url, per_s, *names = sys.argv[1:]
    host = urlsplit(url).netloc
    lanes = [Lane(host, Path(name), float(per_s) / len(names)) for name in names]
    begun = time.monotonic()
    threads = [threading.Thread(target=lane.run) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(lane._left for lane in lanes):
        sys.exit("a lane ended early")
    print(json.dumps({
        "seconds": time.monotonic() - begun,
        "events": sum(lane.events for lane in lanes),
        "batches": sum(lane.batches for lane in lanes),
        "tries": sum(lane.tries for lane in lanes),
        "rejected": sum(lane.rejected for lane in lanes),
        "longest_stall_s": max(lane.longest_stall_s for lane in lanes),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
