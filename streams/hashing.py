"""Every hash that others must be able to repeat, and the keyed ones that they must not.

Published with vectors in `docs/vectors/hashes.json`: partition, assignment, pid16 and day.
All are BLAKE2b (RFC 7693) read big-endian.
"""

from hashlib import blake2b

EPOCH_2020_DAYS = 18_262  # 2020-01-01 in days since 1970
LAST_DAY = 13_879  # 2057-12-31: past it an id's time is no date of ours


def partition_of(model: str, key: str, partitions: int) -> int:
    """blake2b-64(model NUL key) mod partitions; `key` is the join_key, else the prediction_id."""
    digest = blake2b(f"{model}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % partitions


def assignment_point(salt: str, unit: str) -> float:
    """u = blake2b-64(salt NUL unit) / 2^64, in [0, 1): where a unit stands on the lanes."""
    digest = blake2b(f"{salt}\0{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


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


def keyed(secret: bytes, text: str) -> int:
    """Signed 64-bit hash under the installation's secret: a unit's identity inside Penstock."""
    digest = blake2b(text.encode(), digest_size=8, key=secret).digest()
    return int.from_bytes(digest, "big", signed=True)
