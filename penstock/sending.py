"""Sends lines of events to a server or a log, in order of their batches, and adds up the answers.

Nothing is decoded here: lines are counted, cut into batches and passed on. Sending a file again
is always safe, because events are told apart by their own keys.
"""

import codecs
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Protocol

import msgspec

from streams.envelopes import MAGIC
from streams.errors import Error
from streams.events import MAX_EVENT_BYTES

BATCH_COUNT = 1_000
BATCH_BYTES = 1_000_000
IN_FLIGHT = 2
SHOWN = 10
"""How many of the refused lines are told one by one."""


class Refusal(msgspec.Struct, frozen=True):
    """One line that was not taken; `line` counts from 1."""

    line: int
    code: str
    field: str
    detail: str


class Batch(msgspec.Struct, frozen=True):
    """Lines to send and their numbers; `refused` are those that are not even worth sending.

    `end` is the number of the last line that was read for it.
    """

    lines: list[bytes]
    numbers: list[int]
    refused: list[Refusal]
    end: int


class Target(Protocol):
    """Where lines go."""

    def post(self, lines: list[bytes]) -> list[tuple[int, str, str, str]]:
        """All but the returned (index, code, field, detail) are durable."""
        ...

    def hurry(self) -> None:
        """Posts under way fail rather than wait for long."""
        ...


class Report(msgspec.Struct):
    """What became of the lines so far."""

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    by_code: dict[str, int] = {}
    first_rejected: list[Refusal] = []
    done_to_line: int = 0  # every line up to here has its answer
    interrupted: bool = False

    def add(self, batch: Batch, refused: list[Refusal]) -> None:
        """The answer to `batch` is in."""
        self.read += len(batch.lines) + len(batch.refused)
        self.accepted += len(batch.lines) - len(refused)
        told = sorted(batch.refused + refused, key=lambda refusal: refusal.line)
        self.rejected += len(told)
        self.by_code = dict(Counter(self.by_code) + Counter(refusal.code for refusal in told))
        self.first_rejected = (self.first_rejected + told)[:SHOWN]
        self.done_to_line = batch.end


def send(
    batches: Iterable[Batch],
    target: Target,
    *,
    in_flight: int = IN_FLIGHT,
    told: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Every batch was answered; on Ctrl-C those under way are, and `interrupted` is set.

    With more than one in flight, two neighbouring batches may arrive in either order.

    `told` hears how far it is after each answer. Errors of the target come through after the
    answers of the other batches under way.
    """
    report = Report()
    waiting: deque[tuple[Batch, Future[list[Refusal]]]] = deque()
    with ThreadPoolExecutor(in_flight, thread_name_prefix="send") as pool:
        try:
            for batch in batches:
                if len(waiting) == in_flight:
                    _answered(waiting, report, told)
                waiting.append((batch, pool.submit(_post, target, batch)))
        except KeyboardInterrupt:
            report.interrupted = True
            target.hurry()
        try:
            while waiting:
                _answered(waiting, report, told)
        except Error:
            if not report.interrupted:
                raise
    return report


def batches_of(stream: BinaryIO, *, from_line: int = 1) -> Iterator[Batch]:
    """The stream's lines in batches; blank ones are left out.

    Over-long lines, and those that do not begin as an object, are refused here: at the head of a
    body they would decide how all of it is read.
    """
    lines: list[bytes] = []
    numbers: list[int] = []
    refused: list[Refusal] = []
    size = number = 0
    while line := stream.readline(MAX_EVENT_BYTES + 2):
        number += 1
        length = len(line)
        if length > MAX_EVENT_BYTES + 1 and not line.endswith(b"\n"):
            length += _skipped(stream)
        line = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).lstrip(b" \t")
        if number < from_line or not line.strip():
            continue
        if len(lines) + len(refused) == BATCH_COUNT or size + len(line) > BATCH_BYTES:
            yield Batch(lines, numbers, refused, number - 1)
            lines, numbers, refused, size = [], [], [], 0
        if length > MAX_EVENT_BYTES + 1 or not line.startswith(b"{") or line.startswith(MAGIC):
            refused.append(_unsent(number, line, length))
            continue
        lines.append(line)
        numbers.append(number)
        size += len(line)
    if lines or refused:
        yield Batch(lines, numbers, refused, number)


def count_lines(stream: BinaryIO) -> int:
    """How many lines there are, counting a last one that does not end."""
    count, last = 0, b"\n"
    while block := stream.read(1 << 20):
        count += block.count(b"\n")
        last = block[-1:]
    return count + (last != b"\n")


def _answered(
    waiting: deque[tuple[Batch, Future[list[Refusal]]]],
    report: Report,
    told: Callable[[Report], None],
) -> None:
    batch, future = waiting[0]
    refused = future.result()
    waiting.popleft()
    report.add(batch, refused)
    told(report)


def _post(target: Target, batch: Batch) -> list[Refusal]:
    if not batch.lines:
        return []
    return [
        Refusal(batch.numbers[index], code, field, detail)
        for index, code, field, detail in target.post(batch.lines)
    ]


def _skipped(stream: BinaryIO) -> int:
    """How many bytes of the line were left; they are read and forgotten."""
    length = 0
    while rest := stream.readline(1 << 20):
        length += len(rest)
        if rest.endswith(b"\n"):
            break
    return length


def _unsent(number: int, line: bytes, length: int) -> Refusal:
    if length > MAX_EVENT_BYTES + 1:
        said = f"{length} bytes; an event is at most {MAX_EVENT_BYTES}"
        return Refusal(number, "oversized_event", "", said)
    if line.startswith(MAGIC):
        return Refusal(number, "envelope", "", "the header of a log record is no event")
    return Refusal(number, "malformed_json", "", "a line holds one event, which begins with {")
