"""Lines on disk that wait for the server: one file per process, adopted by lock.

Only whole lines count. A process that was killed while it wrote leaves a broken last line, which
is skipped. A line may be sent twice when an adopter is killed too: the server knows its key.
"""

import os
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from . import claims

SUFFIX = ".spool"
_READ_BYTES = 512 * 1024


class Chunk(NamedTuple):
    """Some lines of a file, and where in it they end."""

    lines: list[bytes]
    descriptor: int
    end: int


class _Adopted:
    """A file that another process left behind."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.read_at = 0


class Spool:
    """First in, first out, at most `limit_bytes` on disk for all processes of a scope together."""

    def __init__(self, folder: Path, scope: str, *, limit_bytes: int, batch_events: int) -> None:
        self._folder = folder
        self._scope = scope
        self._limit_bytes = limit_bytes
        self._batch_events = batch_events
        self._lock = Lock()
        self._path: Path | None = None
        self._descriptor = -1
        self._read_at = 0
        self._write_at = 0
        self._others_bytes = 0
        self._adopted: list[_Adopted] = []
        self._closed = False

    @property
    def waiting_bytes(self) -> int:
        """What this process still has to send from disk."""
        adopted = sum(os.fstat(f.descriptor).st_size - f.read_at for f in list(self._adopted))
        return self._write_at - self._read_at + adopted

    def append(self, lines: list[bytes]) -> bool:
        """The lines are in the file, all of them, or none and false (full, or the disk fails)."""
        block = b"".join(line + b"\n" for line in lines)
        with self._lock:
            if self._closed or self._write_at + self._others_bytes + len(block) > self._limit_bytes:
                return False
            try:
                if self._path is None:
                    claims.prepare(self._folder)
                    self._path, self._descriptor = claims.create(self._folder, self._scope, SUFFIX)
                written = os.pwrite(self._descriptor, block, self._write_at)
                if written < len(block):
                    os.ftruncate(self._descriptor, self._write_at)
                    return False
            except OSError:
                return False
            self._write_at += len(block)
        return True

    def look_around(self) -> None:
        """Files that other processes left behind are ours now."""
        held = {self._path} | {file.path for file in self._adopted}
        others = 0
        for path in sorted(self._folder.glob(f"{self._scope}-*{SUFFIX}")):
            if path in held:
                continue
            descriptor = claims.adopt(path)
            if descriptor is not None:
                self._adopted.append(_Adopted(path, descriptor))
            try:
                others += path.stat().st_size
            except OSError:
                continue  # its owner has just sent it all
        self._others_bytes = others

    def first(self) -> Chunk | None:
        """The oldest lines that wait, left-behind files first; None when there are none."""
        with self._lock:
            while self._adopted:
                file = self._adopted[0]
                if chunk := self._read(file.descriptor, file.read_at):
                    return chunk
                self._adopted.pop(0)
                file.path.unlink(missing_ok=True)
                os.close(file.descriptor)
            if self._read_at < self._write_at:
                return self._read(self._descriptor, self._read_at)
        return None

    def done(self, chunk: Chunk) -> None:
        """The chunk was settled with the server and will not be read again."""
        with self._lock:
            if self._adopted and chunk.descriptor == self._adopted[0].descriptor:
                self._adopted[0].read_at = chunk.end
            elif chunk.descriptor == self._descriptor:
                self._read_at = chunk.end
                if self._read_at >= self._write_at:
                    os.ftruncate(self._descriptor, 0)
                    self._read_at = self._write_at = 0

    def close(self) -> None:
        """Everything sent is gone from disk; the rest waits for the next process."""
        with self._lock:
            self._closed = True
            for file in self._adopted:
                os.close(file.descriptor)
            self._adopted.clear()
            if self._path is not None:
                if self._read_at >= self._write_at:
                    self._path.unlink(missing_ok=True)
                os.close(self._descriptor)
                self._path, self._descriptor = None, -1
                self._read_at = self._write_at = 0

    def abandon(self) -> None:
        """In a forked child: the files belong to the parent, their locks are left as they are."""
        for descriptor in (self._descriptor, *(file.descriptor for file in self._adopted)):
            if descriptor >= 0:
                os.close(descriptor)

    def _read(self, descriptor: int, at: int) -> Chunk | None:
        block = os.pread(descriptor, _READ_BYTES, at)
        block = block[: block.rfind(b"\n") + 1]
        if not block:
            return None
        lines = block.split(b"\n", self._batch_events)
        rest = lines.pop()  # what follows the last line that is taken
        return Chunk(lines, descriptor, at + len(block) - len(rest))
