"""One `penstock up` per data folder: a lock that ends with the process, however it ends."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streams.errors import UnavailableError

LOCK_NAME = "lock"


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """This process holds the data folder; UnavailableError names the one that does instead."""
    # Close-on-exec (Python's default) keeps the children from holding it after us.
    handle = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError(
                f"{data_dir} is in use by {_read(handle)}",
                why="one `penstock up` runs per data folder",
                fix="stop it first, or set PENSTOCK_DATA_DIR to another folder",
            ) from None
        with suppress(OSError):  # a full disk: the lock holds without a name in it
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        os.close(handle)


def holder(data_dir: Path) -> str | None:
    """Who holds the data folder, or None."""
    try:
        handle = os.open(data_dir / LOCK_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(handle)
    finally:
        os.close(handle)
    return None


def _read(handle: int) -> str:
    return os.pread(handle, 200, 0).decode(errors="replace") or "another process"
