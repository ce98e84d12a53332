"""`python -m penstock.demo.service FOLDER`: a sorting service, simulated, on the ordinary client.

Each request is answered by the version that the client assigns. While a challenger is deployed, the
other of the two answers the same request in its shadow. The truth comes later, sometimes wrong at
first, sometimes too late, and sometimes never. When the service is killed it goes on from its
journal.
"""

import heapq
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from penstock_client import Assignment, Client, Limits

from penstock import installation
from penstock.demo import models, posting, script, tether
from penstock.demo.folder import Folder, Story
from penstock.demo.journal import Answer, Done, Reader, Served, Settled
from penstock.demo.script import Deed, Request

PACE_S = 0.01
SETTLE_S = 1.0
CLOSE_S = 1.0
LIMITS = Limits(backoff_min_s=0.2, backoff_max_s=2.0, exit_s=CLOSE_S)


class Service:
    """Serves requests until it is told to close, and does what is due about them."""

    def __init__(self, folder: Folder, story: Story, stop: threading.Event) -> None:
        self._folder, self._story, self._stop = folder, story, stop
        self._settings = folder.settings(story)
        self._images = models.Images(folder.models)
        self._models = {
            version: models.Model(models.path_of(folder.models, version))
            for version in models.VERSIONS
        }
        self._client = Client(
            story.url,
            script.MODEL,
            champion=script.CHAMPION,
            state_dir=folder.client,
            limits=LIMITS,
        )
        self._journal = Reader(folder.journal).writer()
        self._book = self._journal.book
        self._stranger = ThreadPoolExecutor(1, thread_name_prefix="stranger")
        self._due: list[tuple[int, int, int]] = []  # (domain time, request, deed)
        self._beside: str | None = None  # the challenger that is deployed
        self._mark = (0, 0)  # events recorded, and lines in the journal, at the last look
        self._look_s = 0.0

    def run(self) -> None:
        """Returns when told to stop; what did not leave by then is sent by the next process."""
        if self._resumed():
            self._work()
            self._stranger.shutdown()
            if self._client.flush(CLOSE_S):
                self._journal.write(Settled(self._book.lines))
            self._stop.wait()
        self._client.close()
        self._journal.close()

    def _resumed(self) -> bool:
        """What may have been lost with the last process is sent again: Penstock counts it once."""
        lines: list[bytes] = []
        for _, line in self._book.unsettled:
            if isinstance(line, Served):
                request = script.request(self._story.seed, line.n)
                lines += posting.answers(line, request, self._images.features(request.image))
        if not posting.deliver(self._story.url, lines, self._stop):
            return False
        for served in self._book.served:
            for k, deed in enumerate(script.request(self._story.seed, served.n).deeds):
                if (served.n, k) not in self._book.done:
                    self._put_off(served.time_ms, deed, served.n, k)
        for _, line in self._book.unsettled:
            if isinstance(line, Done):
                self._tell(line.n, line.k)
        return True

    def _work(self) -> None:
        begun_s, first = time.monotonic(), len(self._book.served)
        while not self._stop.wait(PACE_S) and not self._folder.closing.exists():
            now_ms = installation.read_clock(self._settings).domain_ms()
            due = first + int((time.monotonic() - begun_s) * self._story.rate_per_s)
            for n in range(len(self._book.served), due):
                self._serve(script.request(self._story.seed, n), now_ms)
            while self._due and self._due[0][0] <= now_ms:
                _, n, k = heapq.heappop(self._due)
                self._do(n, k)
            self._settle()

    def _serve(self, request: Request, now_ms: int) -> None:
        assignment = self._client.assign(request.unit, tags={"shift": request.shift})
        live, latency_ms = self._answer(assignment.version, request)
        beside = script.CHAMPION if assignment.version != script.CHAMPION else self._beside
        shadow, shadow_ms = self._answer(beside, request) if beside else (None, 0.0)
        self._journal.write(
            Served(
                request.n, assignment.prediction_id, now_ms, assignment.arm,
                assignment.route_version, live, shadow,
            )
        )  # fmt: skip
        features = self._images.features(request.image)
        self._record(assignment, live, latency_ms, now_ms, features=features)
        if shadow is not None:
            self._record(assignment, shadow, shadow_ms, now_ms, role="shadow")
        for k, deed in enumerate(request.deeds):
            self._put_off(now_ms, deed, request.n, k)

    def _answer(self, version: str, request: Request) -> tuple[Answer, float]:
        """What the version answers, and how many ms it took."""
        begun_s = time.perf_counter()
        if request.times_out:
            return Answer(version, None), 0.0
        label, score = self._models[version].answer(self._images.of(request.image))
        return Answer(version, label, score), (time.perf_counter() - begun_s) * 1000

    def _record(
        self, assignment: Assignment, answer: Answer, latency_ms: float, now_ms: int, **more: Any
    ) -> None:
        said: dict[str, Any] = {"error": posting.TIMED_OUT}
        if answer.label is not None:
            said = {"label": answer.label, "score": answer.score, "latency_ms": latency_ms}
        self._client.record(assignment, version=answer.version, time_ms=now_ms, **said, **more)

    def _put_off(self, since_ms: int, deed: Deed, n: int, k: int) -> None:
        heapq.heappush(self._due, (since_ms + self._story.span_ms(deed.after_ms), n, k))

    def _do(self, n: int, k: int) -> None:
        if script.request(self._story.seed, n).deeds[k].what == "stranger":
            self._stranger.submit(self._meddle, n, k)
            return
        self._journal.write(Done(n, k))
        self._tell(n, k)

    def _meddle(self, n: int, k: int) -> None:
        """The stranger's event was read by the server; only then it is in the journal."""
        if posting.deliver(self._story.url, [posting.broken(n)], self._stop):
            self._journal.write(Done(n, k))

    def _tell(self, n: int, k: int) -> None:
        """What became known about request `n` is on its way."""
        request, served = script.request(self._story.seed, n), self._book.served[n]
        deed = request.deeds[k]
        about, at_ms = served.prediction_id, served.time_ms + self._story.span_ms(deed.after_ms)
        truth = self._images.truth(request.image)
        match deed.what:
            case "label":
                self._label(about, truth, request.label_id, at_ms)
            case "wrong label":
                self._label(about, script.mistaken(truth), request.label_id, at_ms)
            case "correction":
                label_id = f"{request.label_id}-corrected"
                self._label(about, truth, label_id, at_ms, supersedes=request.label_id)
            case "lost":
                self._client.outcome_missing(about, reason="lost", time_ms=at_ms)
            case "complaint":
                self._client.feedback(
                    script.COMPLAINT, unit_id=request.unit, value=1, time_ms=at_ms,
                    feedback_id=f"complaint-{n}",
                )  # fmt: skip

    def _label(
        self, about: str, truth: str, label_id: str, at_ms: int, supersedes: str | None = None
    ) -> None:
        self._client.label(
            prediction_id=about, label=truth, label_id=label_id, time_ms=at_ms,
            supersedes=supersedes,
        )  # fmt: skip

    def _settle(self) -> None:
        """Now and then, what was recorded by the last look and has left is marked as settled.

        Events leave in the order in which they were recorded, so nobody has to wait for them.
        """
        if time.monotonic() < self._look_s:
            return
        self._look_s = time.monotonic() + SETTLE_S
        self._beside = self._folder.beside()
        stats = self._client.stats()
        recorded, lines = self._mark
        unsettled = self._book.unsettled
        if unsettled and unsettled[0][0] <= lines and stats.recorded - stats.waiting >= recorded:
            self._journal.write(Settled(lines))
        self._mark = (stats.recorded, self._book.lines)


def main() -> None:
    """Runs until the demo ends."""
    folder = Folder(Path(sys.argv[1]))
    story = folder.kept()
    assert story is not None
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    tether.end_with_parent()
    tether.forget_settings()
    Service(folder, story, stop).run()


if __name__ == "__main__":
    main()
