"""The newest route table on disk, for the processes that come after this one.

A file is named by its table's rank. Whoever writes one takes the lower ones away, and whoever
reads takes the highest; so however many processes do so at once, none goes back.
"""

import os
from hashlib import blake2b
from pathlib import Path

import msgspec

from . import claims

SUFFIX = ".route"
_BYTES = 1024 * 1024
_LEFT_S = 60.0  # a file that is half written for so long was left behind


class Cached(msgspec.Struct, frozen=True):
    """A table as the server sent it; times are this machine's, ms UTC."""

    received_ms: int
    until_ms: int
    etag: str
    body: bytes


class RouteCache:
    """The file of one route of one model; nothing here raises but OSError."""

    def __init__(self, folder: Path, scope: str, route: str) -> None:
        self._folder = folder
        self._prefix = f"{scope}-{blake2b(route.encode(), digest_size=6).hexdigest()}-"

    def read(self) -> Cached | None:
        """What the last process kept, if the folder is ours alone and it can be read."""
        try:
            claims.check(self._folder)
            for path in sorted(self._folder.glob(f"{self._prefix}*{SUFFIX}"), reverse=True):
                if cached := _read(path):
                    return cached
        except OSError:
            pass  # there is no folder yet, or it is not to be trusted
        return None

    def write(self, cached: Cached, rank: tuple[int, int]) -> None:
        """It is what `read` gives, unless there is a higher one; or OSError."""
        claims.prepare(self._folder)
        name = f"{self._prefix}{rank[0]:012d}-{rank[1]:010d}{SUFFIX}"
        draft = self._folder / f"{name}.{os.getpid()}-{os.urandom(4).hex()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(cached))
            now_s = os.fstat(descriptor).st_mtime
        os.replace(draft, self._folder / name)
        for path in self._folder.glob(f"{self._prefix}*"):
            if path.name.endswith(SUFFIX):
                if path.name < name:
                    path.unlink(missing_ok=True)
            elif _written_s(path, now_s) < now_s - _LEFT_S:
                path.unlink(missing_ok=True)


def _read(path: Path) -> Cached | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return msgspec.json.decode(file.read(_BYTES), type=Cached)
    except (OSError, msgspec.DecodeError):  # taken away by a newer one, or cut by a full disk
        return None


def _written_s(path: Path, now_s: float) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return now_s
