"""Every hash that others must be able to repeat, and the keyed ones that they must not.

Published with vectors in `docs/vectors/hashes.json`: partition, assignment, pid16 and day.
All are BLAKE2b (RFC 7693) read big-endian.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

EPOCH_2020_DAYS = 18_262  # 2020-01-01 in days since 1970
LAST_DAY = 13_879  # 2057-12-31: past it an id's time is no date of ours


def partition_of(model: str, key: str, partitions: int) -> int:
    """blake2b-64(model NUL key) mod partitions; `key` is the join_key, else the prediction_id."""
    digest = blake2b(f"{model}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % partitions


def assignment_point(salt: str, unit: str) -> float:
    """u = the first 53 bits of blake2b-64(salt NUL unit) / 2^53: where a unit stands on the lanes.

    53 bits are what a double holds: no rounding, so every language has the same u, and u < 1.
    """
    digest = blake2b(f"{salt}\0{unit}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def pid16(prediction_id: str) -> bytes:
    """The 16 bytes of a canonical (lower-case, hyphenated) UUID, else blake2b-128 of the id."""
    if len(prediction_id) == 36 and _is_canonical(prediction_id):
        return bytes.fromhex(prediction_id.replace("-", ""))
    return blake2b(prediction_id.encode(), digest_size=16).digest()


def _is_canonical(text: str) -> bool:
    return (
        text[8] == text[13] == text[18] == text[23] == "-"
        and text.count("-") == 4
        and not text.encode().translate(None, b"0123456789abcdef-")
    )


def day_of(prediction_id: str) -> int:
    """Days from 2020-01-01 to the date inside a UUIDv7 (2020-2057), else 0."""
    if len(prediction_id) != 36 or prediction_id[14] != "7" or not _is_canonical(prediction_id):
        return 0
    day = int(prediction_id[:8] + prediction_id[9:13], 16) // 86_400_000 - EPOCH_2020_DAYS
    return day if 0 < day <= LAST_DAY else 0


def id8(text: str) -> bytes:
    """blake2b-64 of a label or feedback id."""
    return blake2b(text.encode(), digest_size=8).digest()


class KeyedHash:
    """Signed 64-bit hashes under the installation's secret: a unit's identity inside Penstock."""

    def __init__(self, secret: bytes) -> None:
        self._keyed = blake2b(digest_size=8, key=secret)

    def of(self, texts: Sequence[str]) -> list[int]:
        """The hash of each."""
        digests = []
        for text in texts:
            keyed = self._keyed.copy()
            keyed.update(text.encode())
            digests.append(keyed.digest())
        hashes: list[int] = np.frombuffer(b"".join(digests), ">i8").tolist()
        return hashes


_HEX = np.full(256, 255, np.uint8)
_HEX[list(b"0123456789abcdef")] = range(16)
_DASHES = (8, 13, 18, 23)
_DIGITS = [k for k in range(36) if k not in _DASHES]
_VERSION = 12  # the digit that tells a UUID's version
_BIG_ENDIAN = (256 ** np.arange(5, -1, -1)).astype(np.int64)


def identify(ids: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """`day_of` and `pid16` of many ids at once: shapes (n,) and (n, 16)."""
    count = len(ids)
    text = "".join(ids).encode()
    if len(text) != 36 * count or any(len(i) != 36 for i in ids):
        return _identify_each(ids)
    letters = np.frombuffer(text, np.uint8).reshape(count, 36)
    digits = _HEX[letters[:, _DIGITS]]
    if (letters[:, _DASHES] != ord("-")).any() or (digits > 15).any():
        return _identify_each(ids)
    pids = np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2], np.uint8)
    days: npt.NDArray[np.int64] = pids[:, :6] @ _BIG_ENDIAN // 86_400_000 - EPOCH_2020_DAYS
    dated = (digits[:, _VERSION] == 7) & (days > 0) & (days <= LAST_DAY)
    days[~dated] = 0
    return days, pids


def _identify_each(ids: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    days = np.fromiter(map(day_of, ids), np.int64, len(ids))
    pids = np.frombuffer(b"".join(map(pid16, ids)), np.uint8).reshape(len(ids), 16)
    return days, pids
