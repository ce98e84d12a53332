"""Traffic as services send it, made fast: live answers, shadow pairs and late labels.

Of 100 events 70 are live answers, 20 are shadow answers to the same requests, 10 are labels that
come some minutes later. Ids are UUIDv7; the model is binary, with eight slices.
"""

import random
from collections.abc import Iterator

from streams.hashing import partition_of
from streams.models import Declaration, Slice, Term

MODEL = "bench"
PARTITIONS = 12
STEP_MS = 20.0  # of event time between two requests, unless said otherwise
LABEL_AFTER = 5_000  # requests: nearly two minutes


def declaration() -> Declaration:
    """A binary model with eight slices over tags and features, and ten minutes to mature."""
    slices = [
        Slice("eu", (Term(tag="region", equals="EU"),)),
        Slice("us", (Term(tag="region", equals="US"),)),
        Slice("mobile", (Term(tag="device", equals="mobile"),)),
        Slice("eu_mobile", (Term(tag="region", equals="EU"), Term(tag="device", equals="mobile"))),
        Slice("low", (Term(feature="f0", below=-0.5),)),
        Slice("middle", (Term(feature="f0", at_least=-0.5, below=0.5),)),
        Slice("high", (Term(feature="f0", at_least=0.5),)),
        Slice("no_f1", (Term(feature="f1", missing=True),)),
    ]
    return Declaration(
        model=MODEL,
        task="classification",
        classes=("ham", "spam"),
        positive="spam",
        horizons={"outcome": "10m"},
        slices=tuple(slices),
    )


class Traffic:
    """An endless stream of (partition, line), repeatable by its seed.

    Args:
        step_ms: event time between two requests.
        route_version: of the answers; None: they carry none.
    """

    def __init__(
        self, *, features: int, start_ms: int, seed: int = 1, step_ms: float = STEP_MS,
        route_version: int | None = None,
    ) -> None:  # fmt: skip
        self._named = "" if route_version is None else f'"route_version":{route_version},'
        self._random = random.Random(seed)
        self._request = LABEL_AFTER
        self._start_ms = start_ms
        self._step_ms = step_ms
        draw = self._random
        self._features = [
            ",".join(f'"f{k}":{draw.gauss(0, 1):.6f}' for k in range(features)) for _ in range(997)
        ]
        self._pending: list[tuple[int, str]] = []

    def events(self, count: int) -> Iterator[tuple[int, bytes]]:
        """The next `count` events with their partitions."""
        draw = self._random.random
        for _ in range(count // 10):
            for _ in range(7):
                yield self._answer(self._request, "41", "live")
                self._request += 1
            for back in (1, 4):
                yield self._answer(self._request - back, "42", "shadow")
            yield self._label(self._request - LABEL_AFTER, spam=draw() < 0.2)

    def envelopes(self, count: int, *, size: int = 100) -> Iterator[tuple[int, list[bytes]]]:
        """The next events as full envelopes' lines, in the order they fill up."""
        waiting: dict[int, list[bytes]] = {}
        for partition, line in self.events(count):
            lines = waiting.setdefault(partition, [])
            lines.append(line)
            if len(lines) == size:
                yield partition, waiting.pop(partition)
        yield from waiting.items()

    def _time_ms(self, request: int) -> int:
        return self._start_ms + int(request * self._step_ms)

    def _id(self, request: int) -> str:
        ms = self._time_ms(request)
        low = request * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFF
        text = f"{ms:012x}7{request & 0xFFF:03x}8{low:015x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _answer(self, request: int, version: str, role: str) -> tuple[int, bytes]:
        pid = self._id(request)
        region, device = ("EU", "US", "APAC")[request % 3], ("mobile", "web")[request % 2]
        score = (request * 7919 % 10_000) / 10_000
        line = (
            f'{{"type":"io.penstock.prediction.v1","model":"{MODEL}","prediction_id":"{pid}",'
            f'"time":{self._time_ms(request)},"version":"{version}","role":"{role}",'
            f'"arm":"champion",{self._named}"unit_id":"u{request % 50_000}",'
            f'"output":{{"score":{score}}},'
            f'"latency_ms":{2 + score * 9:.3f},"tags":{{"region":"{region}","device":"{device}"}},'
            f'"features":{{{self._features[request % 997]}}}}}'
        )
        return partition_of(MODEL, pid, PARTITIONS), line.encode()

    def _label(self, request: int, *, spam: bool) -> tuple[int, bytes]:
        pid = self._id(request)
        line = (
            f'{{"type":"io.penstock.label.v1","model":"{MODEL}","label_id":"l-{self._request}",'
            f'"prediction_id":"{pid}","time":{self._time_ms(self._request)},'
            f'"label":"{"spam" if spam else "ham"}"}}'
        )
        return partition_of(MODEL, pid, PARTITIONS), line.encode()
