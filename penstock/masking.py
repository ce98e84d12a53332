"""What people see of an event: what its model declares `sensitive` is masked by name.

Features, tags and references to inputs have names; whoever is to see all of them has the scope
`pii:read`, or the machine.
"""

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Connection

from streams import registry

MASK = "***"
SCOPE = "pii:read"

Mask = Callable[[str, dict[str, Any]], dict[str, Any]]
"""(model, event of it as JSON) -> the same, as far as it may be seen."""


def unmasked(_model: str, event: dict[str, Any]) -> dict[str, Any]:
    """All of it."""
    return event


def by_declaration(connection: Connection) -> Mask:
    """Masks what each model's newest declaration says; each is read once."""
    known: dict[str, Collection[str]] = {}

    def mask(model: str, event: dict[str, Any]) -> dict[str, Any]:
        if model not in known:
            revision = registry.newest(connection, model)
            known[model] = () if revision is None else revision.declaration.sensitive
        return masked(event, known[model])

    return mask


def masked(event: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The event with every value of these names masked; its other parts are the same objects."""
    found = dict(event)
    for field in ("features", "tags"):
        if isinstance(values := event.get(field), dict):
            found[field] = {k: MASK if k in names else value for k, value in values.items()}
    if isinstance(inputs := event.get("inputs"), list):
        found["inputs"] = [
            {k: value if k == "name" else MASK for k, value in each.items()}
            if each.get("name") in names
            else each
            for each in inputs
        ]
    return found
