"""The published JSON Schemas, one file a type: `python -m streams.schemas docs/schemas`."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from streams.events import PREFIX, TYPES, schema

RESERVED = ("audit", "blind")  # of labels: set by Penstock alone, so services do not see them


def files() -> dict[str, bytes]:
    """Each file's content by its name."""
    return {f"{name.removeprefix(PREFIX)}.json": _pretty(_published(name)) for name in TYPES}


def _published(name: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(schema(TYPES[name]))
    for definition in found["$defs"].values():
        for field in RESERVED:
            definition["properties"].pop(field, None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        **found,
    }


def _pretty(value: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def main(folder: Path) -> None:
    """Every file in `folder` is as the code says."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
