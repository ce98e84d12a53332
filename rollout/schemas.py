"""The published JSON Schema of a spec: `python -m rollout.schemas docs/schemas`."""

import sys
from pathlib import Path
from typing import Any

import msgspec

from rollout.spec import Rollout

NAME = "rollout.v1.json"


def files() -> dict[str, bytes]:
    """The file's content by its name."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ModelRollout",
        **msgspec.json.schema(Rollout),
    }
    for name in ("Stage", "Margin"):
        _exactly_one(schema["$defs"][name])
    return {NAME: msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"}


def _exactly_one(definition: dict[str, Any]) -> None:
    """One of the fields, never null: what a type with optional fields cannot say itself."""
    for field, options in definition["properties"].items():
        known = (each for each in options["anyOf"] if each.get("type") != "null")
        definition["properties"][field] = next(known)
    definition |= {"minProperties": 1, "maxProperties": 1}


def main(folder: Path) -> None:
    """The file in `folder` is as the code says."""
    for name, content in files().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
