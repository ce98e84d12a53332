"""Examples of every published hash: `python -m streams.vectors docs/vectors/hashes.json`.

Another implementation is right when it gives these answers. The inputs are chosen for what goes
wrong elsewhere: text outside ASCII, the empty string, ids that almost are UUIDs.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from streams import hashing

KEYS = (
    "p-1", "0", "order:2026-11-21/7", "9f86d081884c7d65", "é", "日本語", "a b", "x" * 200,
    "01930b2e-7d1a-7c3e-9f00-6a1d5c2b8e4f", "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
)  # fmt: skip
IDS = (
    "01930b2e-7d1a-7c3e-9f00-6a1d5c2b8e4f",  # UUIDv7 of 2024
    "016f5e66-e800-7000-8000-000000000000",  # UUIDv7 of 2020-01-01
    "0286a1b2-c3d4-7abc-8def-0123456789ab",  # UUIDv7 of the 2050s
    "6ba7b810-9dad-41d1-80b4-00c04fd430c8",  # UUIDv4: no date
    "01930B2E-7D1A-7C3E-9F00-6A1D5C2B8E4F",  # upper case is not canonical
    "01930b2e7d1a7c3e9f006a1d5c2b8e4f",  # without hyphens neither
    "ffffffff-ffff-7fff-bfff-ffffffffffff",  # past the last day
    "p-1",
    "order:2026-11-21",
)
MODELS = ("mailguard", "eta", "café", "a b")
SALTS = ("", "mailguard/default/7", "ñ")


def vectors() -> dict[str, Any]:
    """Every example with its answer; byte strings in hexadecimal."""
    return {
        "partition": [
            {"model": model, "key": key, "partitions": partitions,
             "partition": hashing.partition_of(model, key, partitions)}
            for model in MODELS for key in KEYS for partitions in (1, 12)
        ],
        "assignment": [
            {"salt": salt, "unit": unit, "point": hashing.assignment_point(salt, unit)}
            for salt in SALTS for unit in KEYS
        ],
        "pid16": [{"id": one, "pid16": hashing.pid16(one).hex()} for one in IDS],
        "day": [{"id": one, "day": hashing.day_of(one)} for one in IDS],
    }  # fmt: skip


def content() -> bytes:
    """The published file."""
    return msgspec.json.format(msgspec.json.encode(vectors()), indent=1) + b"\n"


def main(path: Path) -> None:
    """The file at `path` is as the code says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
