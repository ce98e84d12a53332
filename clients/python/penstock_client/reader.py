"""Under which name a process reads route tables.

A rollback is over once every reader has said that it holds the newer table. One that was killed
says nothing more, and would be waited for until its table expires; so the process that comes after
it in the same folder takes over its name.
"""

import os
from hashlib import blake2b
from pathlib import Path

from . import claims

SUFFIX = ".reader"


class ReaderName:
    """A name that no other live process has, of clients of one server, model and route."""

    def __init__(self, folder: Path, scope: str, route: str) -> None:
        self._folder = folder
        # Not what tables begin with: their cache clears away what was left behind under that.
        self._prefix = f"{scope}-reader-{blake2b(route.encode(), digest_size=6).hexdigest()}"
        self._descriptor: int | None = None
        self._name = ""

    def claim(self) -> str:
        """The name, ours until `release`; one that dies with us where there are no files."""
        if not self._name:
            try:
                path, self._descriptor = self._claimed()
                seed = path.name.encode()
            except OSError:
                seed = os.urandom(8)
            self._name = blake2b(seed, digest_size=8).hexdigest()
        return self._name

    def release(self) -> None:
        """The next process may have it. In a forked child the parent keeps it."""
        descriptor, self._descriptor, self._name = self._descriptor, None, ""
        if descriptor is not None:
            os.close(descriptor)

    def _claimed(self) -> tuple[Path, int]:
        claims.prepare(self._folder)
        for path in sorted(self._folder.glob(f"{self._prefix}-*{SUFFIX}")):
            if (descriptor := claims.adopt(path)) is not None:
                return path, descriptor
        return claims.create(self._folder, self._prefix, SUFFIX)
