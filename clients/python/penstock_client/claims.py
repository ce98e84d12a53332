"""Files that belong to whoever holds their lock.

A process holds the lock on its own files for as long as it lives, however it dies. A file whose
lock is free was left behind, and the next process may adopt it. Where there are no such locks
(Windows) nothing can be claimed, and callers fall back to memory.
"""

import os
import stat
from hashlib import blake2b
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def scope_of(url: str, model: str) -> str:
    """Who may adopt a file: clients of the same server and model, as a prefix of its name."""
    return blake2b(f"{url}\0{model}".encode(), digest_size=6).hexdigest()


def default_folder() -> Path:
    """Shared memory where there is some, so that a slow disk can never stop a counter."""
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    root = "/dev/shm"  # noqa: S108  # the folder in it is checked to be ours alone
    if not os.access(root, os.W_OK):
        from tempfile import gettempdir  # not needed on most machines, and slow to import

        root = gettempdir()
    return Path(root, f"penstock-client-{owner}")


def prepare(folder: Path) -> None:
    """The folder exists and nobody else can write to it, or OSError says why not."""
    if fcntl is None:
        raise OSError("this platform has no file locks")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check(folder)


def check(folder: Path) -> None:
    """Nobody else can have written what is in the folder, or OSError says why not."""
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user")
    if found.st_mode & stat.S_IWOTH:
        raise PermissionError(f"{folder} is writable by everyone")


def create(folder: Path, scope: str, suffix: str) -> tuple[Path, int]:
    """A new file that is ours from the start: its path and its open descriptor."""
    while True:
        path = folder / f"{scope}-{os.getpid()}-{os.urandom(6).hex()}{suffix}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if _claim(descriptor):
            return path, descriptor
        os.close(descriptor)  # an adopter was quicker: it sees an empty file and removes it


def adopt(path: Path) -> int | None:
    """An open descriptor of a file that was left behind, or None while its owner lives."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None
    if _claim(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _claim(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    # Between opening and locking, its last owner may have removed it.
    return os.fstat(descriptor).st_nlink > 0
