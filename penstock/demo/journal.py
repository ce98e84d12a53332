"""What the service did, in a file of its own: its memory over a crash, and its side of the sums.

A line is written before the event that it is about is handed to the client, so that whatever was
sent is known. It outlives the process, not the machine.
"""

import fcntl
import os
import threading
from pathlib import Path

import msgspec


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a version answered; no label: its image came too late."""

    version: str
    label: str | None
    score: float = 0.0


class Served(msgspec.Struct, frozen=True, array_like=True, tag="served"):
    """A request was answered by the version that was assigned, and by another in its shadow."""

    n: int
    prediction_id: str
    time_ms: int
    arm: str
    route_version: int | None
    live: Answer
    shadow: Answer | None

    @property
    def answers(self) -> tuple[Answer, ...]:
        return (self.live,) if self.shadow is None else (self.live, self.shadow)


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """Deed `k` of request `n` was done."""

    n: int
    k: int


class Settled(msgspec.Struct, frozen=True, array_like=True, tag="settled"):
    """What the first `lines` lines are about has reached the server."""

    lines: int


Line = Served | Done | Settled
_decoder = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()


class Book:
    """The journal as it was read so far."""

    def __init__(self) -> None:
        self.served: list[Served] = []
        self.done: set[tuple[int, int]] = set()
        self.unsettled: list[tuple[int, Served | Done]] = []  # with their line numbers
        self.lines = 0

    @property
    def is_settled(self) -> bool:
        """Whether all of it has reached the server."""
        return not self.unsettled

    def add(self, line: Line) -> None:
        self.lines += 1
        match line:
            case Served():
                self.served.append(line)
            case Done():
                self.done.add((line.n, line.k))
            case Settled():
                self.unsettled = [at for at in self.unsettled if at[0] > line.lines]
                return
        self.unsettled.append((self.lines, line))


class Reader:
    """Follows the journal; `book` is what it holds as of the last `read`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.book = Book()

    def read(self) -> Book:
        """The book with what was written since; a line that is not whole yet is left for later."""
        if not self._path.exists():
            return self.book
        with self._path.open("rb") as stream:
            stream.seek(self._at)
            whole, newline, _ = stream.read().rpartition(b"\n")
        for line in whole.split(b"\n") if newline else ():
            self.book.add(_decoder.decode(line))
        self._at += len(whole) + len(newline)
        return self.book

    def writer(self) -> "Writer":
        """Goes on behind what is there, once the process that wrote it has let go of the file.

        A line that a kill cut short is overwritten.
        """
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self.read()
        os.truncate(descriptor, self._at)
        os.lseek(descriptor, self._at, os.SEEK_SET)
        return Writer(descriptor, self.book)


class Writer:
    """Appends lines to the journal and to its book; one process at a time, any thread of it."""

    def __init__(self, descriptor: int, book: Book) -> None:
        self._lock = threading.Lock()
        self._descriptor = descriptor
        self.book = book

    def write(self, line: Line) -> None:
        """The line is kept, also if this process is killed now."""
        with self._lock:
            os.write(self._descriptor, _encoder.encode(line) + b"\n")
            self.book.add(line)

    def close(self) -> None:
        os.close(self._descriptor)
