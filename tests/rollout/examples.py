"""The example that the documentation shows, and edits of it."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import yaml

from rollout.lint import Report, lint
from streams.registry import read_declaration

FOLDER = Path(__file__).parents[2] / "examples" / "fraud"
FRAUD = (FOLDER / "rollout.yaml").read_bytes()
MODEL = read_declaration((FOLDER / "model.yaml").read_bytes())
_PLAIN: dict[str, Any] = yaml.load(FRAUD, yaml.BaseLoader)

Change = tuple[str, Any]


class _Gone:
    """What stands nowhere in an example; spelled alike in every process that names the tests."""

    def __repr__(self) -> str:
        return "GONE"


GONE = _Gone()


def edited(*changes: Change) -> bytes:
    """The example with the values at these places (below `spec`), or without them.

    `metrics.errors` is the metric of that name, `stages.canary` that stage.
    """
    plain = copy.deepcopy(_PLAIN)
    for place, value in changes:
        *way, last = _way(place)
        part: Any = plain if place.startswith(("metadata", "apiVersion")) else plain["spec"]
        for step in way:
            part = part[_at(part, step)]
        if value is GONE:
            del part[_at(part, last)]
        elif isinstance(part, list) and last == "+":
            part.append(value)
        else:
            part[_at(part, last) if isinstance(part, list) else last] = value
    return yaml.safe_dump(plain, sort_keys=False).encode()


def linted(*changes: Change, **known: Any) -> Report:
    return lint(edited(*changes), name="rollout.yaml", **({"model": MODEL} | known))


def as_json(text: bytes) -> Any:
    """The decoded spec as plain JSON."""
    from rollout import spec

    return msgspec.json.decode(spec.canonical(spec.read(text)[0]))


def _way(place: str) -> list[str]:
    return place.split(".")


def _at(part: Any, step: str) -> Any:
    if not isinstance(part, list):
        return step
    if step.isdigit():
        return int(step)
    found = [k for k, each in enumerate(part) if each.get("name") == step or step in each]
    return found[0]
