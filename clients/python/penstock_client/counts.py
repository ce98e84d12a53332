"""How many requests each arm was given, answered and did not send, by minute.

The counts are cumulative, and live in a mapped file that outlives the process: a version that
kills its process cannot hide how often it was asked. The page cache keeps what was written when a
process is killed; only a crash of the machine can lose it.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import NamedTuple

import msgspec

from . import claims
from .events import Assigned, encode

SUFFIX = ".counts"
_FILE_BYTES = 256 * 1024  # about 1,800 tallies: with two arms, a file lasts for 15 hours
_MAGIC = 0x31_53_54_4E_55_4F_43_50  # "PCOUNTS1"
# In cells of 8 bytes: magic, instance (2), end of the tallies; then the tallies.
_INSTANCE, _END, _HEADER = 1, 3, 4
# A tally: assigned, answered, dropped, bytes of its key; then its key, padded.
_DROPPED, _KEY_BYTES, _KEY = 2, 3, 4


class Key(NamedTuple):
    """What is counted apart."""

    minute_ms: int
    model: str
    route: str
    route_version: int | None
    arm: str


class Tally:
    """The three counters of one key, in their place in the file."""

    __slots__ = ("_at", "_sheet", "key")

    def __init__(self, sheet: "Sheet", at: int, key: Key) -> None:
        self._sheet = sheet
        self._at = at
        self.key = key

    def drop(self) -> None:
        """One answer that was counted will not arrive."""
        self._sheet.add(self, self._at + _DROPPED)

    def assign(self) -> None:
        """One more request was given to this arm."""
        self._sheet.add(self, self._at)

    def answer(self) -> None:
        """One more live answer was recorded."""
        self._sheet.add(self, self._at + 1)

    def event(self, *, now_ms: int) -> bytes | None:
        """The counts as they are now; None once their file was given up for adoption."""
        return self._sheet.event(self._at, self.key, now_ms=now_ms)


class Sheet:
    """A file of tallies with one owner; tallies are appended and only grow."""

    def __init__(self, cells: memoryview, path: Path | None, descriptor: int | None) -> None:
        self._cells = cells
        self._path = path
        self._descriptor = descriptor
        self._lock = RLock()
        self._tallies: dict[Key, Tally] = {}
        self._changed: set[Tally] = set()
        self._open = True

    @classmethod
    def in_memory(cls) -> "Sheet":
        """A sheet that dies with its process."""
        return cls(_titled(memoryview(bytearray(_FILE_BYTES)).cast("q")), None, None)

    @classmethod
    def in_folder(cls, folder: Path, scope: str) -> "Sheet":
        """A sheet in a new file, or OSError."""
        claims.prepare(folder)
        path, descriptor = claims.create(folder, scope, SUFFIX)
        try:
            # Written, not just extended: a hole that cannot be filled later would be a SIGBUS.
            _write_zeros(descriptor)
            mapped = mmap.mmap(descriptor, _FILE_BYTES)
        except OSError:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return cls(_titled(memoryview(mapped).cast("q")), path, descriptor)

    @property
    def lasting(self) -> bool:
        """Its counts outlive the process."""
        return self._path is not None

    def add(self, tally: Tally, cell: int) -> None:
        """One counter is one higher, unless the sheet is closed."""
        with self._lock:
            if self._open:
                self._cells[cell] += 1
                self._changed.add(tally)

    def event(self, at: int, key: Key, *, now_ms: int) -> bytes | None:
        """The tally at `at` as an event; None if the sheet is closed."""
        with self._lock:
            if not self._open:
                return None
            assigned, answered, dropped = self._cells[at : at + 3]
            instance = bytes(self._cells[_INSTANCE : _INSTANCE + 2]).hex()
        return _as_event(key, instance, (assigned, answered, dropped), now_ms=now_ms)

    def changed(self) -> set[Tally]:
        """The tallies that changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
        return changed

    def unsent(self, tallies: set[Tally]) -> None:
        """They count as changed again."""
        with self._lock:
            self._changed |= tallies

    @property
    def is_changed(self) -> bool:
        """Some tally changed since the last call of `changed`."""
        return bool(self._changed)

    def close(self, *, keep: bool) -> None:
        """Nothing is counted any more; the file is gone, or free to be adopted."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            mapped = self._cells.obj
            self._cells.release()
            if isinstance(mapped, mmap.mmap):
                mapped.close()
        if self._path is not None and not keep:
            self._path.unlink(missing_ok=True)
        if self._descriptor is not None:
            os.close(self._descriptor)

    def abandon(self) -> None:
        """In a forked child: the file belongs to the parent, its lock is left as it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def tally(self, key: Key) -> Tally | None:
        """The tally of `key`, new or known; None when the sheet is full."""
        name = msgspec.json.encode(key)
        size = _KEY + -(-len(name) // 8)
        with self._lock:
            if key in self._tallies:
                return self._tallies[key]
            at = self._cells[_END]
            if at + size > len(self._cells):
                return None
            self._cells[at + _KEY_BYTES] = len(name)
            padded = memoryview(name.ljust((size - _KEY) * 8, b" ")).cast("q")
            self._cells[at + _KEY : at + size] = padded
            # The end moves last: whoever is killed before it leaves no half tally.
            self._cells[_END] = at + size
            tally = self._tallies[key] = Tally(self, at, key)
        return tally


class Counts:
    """The counts of this process: one sheet, and the one before while answers still come in."""

    def __init__(self, folder: Path, scope: str) -> None:
        self._folder = folder
        self._scope = scope
        self._lock = RLock()
        self._sheets: list[Sheet] = []
        self._known: dict[Key, Tally] = {}  # those of the last sheet
        self._closed = False
        self.fault: str | None = None  # why counts are kept in memory, if they are

    def tally(self, key: Key) -> Tally | None:
        """The tally of `key`; None only after close."""
        if found := self._known.get(key):
            return found
        with self._lock:
            if self._closed:
                return None
            if self._sheets and (found := self._sheets[-1].tally(key)):
                self._known[key] = found
                return found
            self._known = {}
            if len(self._sheets) > 1:
                self._sheets.pop(0).close(keep=True)  # left for adoption, by ourselves too
            self._sheets.append(self._new_sheet())
            return self._sheets[-1].tally(key)

    @property
    def is_changed(self) -> bool:
        """Something is left to be sent."""
        return any(sheet.is_changed for sheet in self._sheets)

    @property
    def lasting(self) -> bool:
        """The counts would outlive a crash of this process now."""
        return bool(self._sheets) and self._sheets[-1].lasting

    def changed(self) -> list[tuple[Sheet, set[Tally]]]:
        """What changed since the last call, by sheet."""
        return [(sheet, sheet.changed()) for sheet in list(self._sheets)]

    def close(self, *, keep: bool) -> None:
        """Files whose counts have all been sent are gone; others wait for the next process."""
        with self._lock:
            self._closed = True
            self._known = {}
            for sheet in self._sheets:
                sheet.close(keep=keep or sheet.is_changed)

    def abandon(self) -> None:
        """In a forked child: all of it belongs to the parent."""
        for sheet in self._sheets:
            sheet.abandon()

    def _new_sheet(self) -> Sheet:
        try:
            return Sheet.in_folder(self._folder, self._scope)
        except OSError as error:
            self.fault = str(error)
            return Sheet.in_memory()


def left_behind(content: bytes, *, now_ms: int) -> Iterator[bytes]:
    """The counts in the file of a process that is gone, as events; none if it is damaged."""
    if len(content) != _FILE_BYTES:
        return
    cells = memoryview(content).cast("q")
    if cells[0] != _MAGIC:
        return
    instance = bytes(cells[_INSTANCE : _INSTANCE + 2]).hex()
    at, end = _HEADER, cells[_END]
    while at < end <= len(cells):
        name_bytes = cells[at + _KEY_BYTES]
        start = (at + _KEY) * 8
        try:
            key = msgspec.json.decode(content[start : start + name_bytes], type=Key)
        except msgspec.DecodeError:
            return
        assigned, answered, dropped = cells[at : at + 3]
        yield _as_event(key, instance, (assigned, answered, dropped), now_ms=now_ms)
        at += _KEY + -(-name_bytes // 8)


def _as_event(key: Key, instance: str, counts: tuple[int, int, int], *, now_ms: int) -> bytes:
    assigned, answered, dropped = counts
    return encode(
        Assigned(
            model=key.model,
            instance=instance,
            minute=key.minute_ms,
            route=key.route,
            arm=key.arm,
            route_version=key.route_version,
            time=now_ms,
            assigned=assigned,
            answered=answered,
            dropped=dropped,
        )
    )


def _titled(cells: memoryview) -> memoryview:
    instance = memoryview(os.urandom(16)).cast("q")
    cells[_INSTANCE : _INSTANCE + 2] = instance
    cells[_END] = _HEADER
    cells[0] = _MAGIC
    return cells


def _write_zeros(descriptor: int) -> None:
    left = _FILE_BYTES
    while left:
        left -= os.write(descriptor, bytes(left))
