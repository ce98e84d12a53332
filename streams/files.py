"""Files by digest: `<root>/<first two>/<sha256>`, whole or not there at all.

A file is written beside its place, brought to disk and renamed, so a crash leaves at most a
temporary file. What is read back is verified against its name.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from streams.errors import ConfigError, InputError, UnavailableError

CHUNK_BYTES = 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Stored(msgspec.Struct, frozen=True):
    """One file as it stands in the store."""

    name: str
    digest: str
    bytes: int


def store(root: Path, source: Path) -> Stored:
    """A copy of `source` is on disk under its digest; storing it again changes nothing.

    Raises InputError when it cannot be read, UnavailableError when it cannot be written.
    """
    try:
        stream = source.open("rb")
    except OSError as error:
        raise InputError(f"{source}: {error.strerror}", field="files") from error
    with stream:
        try:
            digest, size = _kept(root, stream)
        except OSError as error:
            raise UnavailableError(
                f"{source.name} could not be stored: {error.strerror}",
                fix="free space or check the data folder's permissions",
            ) from error
    return Stored(source.name, digest, size)


def path_of(root: Path, digest: str) -> Path:
    """Where the file of this digest stands, or would."""
    if not _DIGEST.fullmatch(digest):
        raise InputError(f"{digest[:80]!r} is not a sha256", field="digest", rule="64 of 0-9 a-f")
    return root / digest[:2] / digest


def read(root: Path, digest: str) -> bytes:
    """The bytes of a stored file; ConfigError when they are gone or no longer those stored."""
    path = path_of(root, digest)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the file {digest[:12]} is not in the store",
            why=str(error),
            fix="restore it from a backup, or add the version again",
        ) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ConfigError(
            f"the file {digest[:12]} is damaged: its bytes have another digest",
            fix="restore it from a backup",
        )
    return content


def _kept(root: Path, stream: BinaryIO) -> tuple[str, int]:
    root.mkdir(parents=True, exist_ok=True)
    handle, written = tempfile.mkstemp(dir=root, prefix=".new-")
    try:
        digest, size = hashlib.sha256(), 0
        with os.fdopen(handle, "wb") as out:
            for chunk in _chunks(stream):
                digest.update(chunk)
                out.write(chunk)
                size += len(chunk)
            out.flush()
            os.fsync(out.fileno())
        place = path_of(root, digest.hexdigest())
        place.parent.mkdir(exist_ok=True)
        Path(written).replace(place)
        _sync_folder(place.parent)
    except BaseException:
        Path(written).unlink(missing_ok=True)
        raise
    return digest.hexdigest(), size


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _sync_folder(folder: Path) -> None:
    """The rename itself is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
