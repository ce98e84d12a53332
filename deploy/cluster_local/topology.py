"""Who plays what, read from docker-compose.yml, so that containers and processes cannot differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
IMAGE = "penstock:"
_WORKER = ["worker"]


@dataclass(frozen=True)
class Role:
    """A service of ours: what it runs, and with which settings."""

    name: str
    command: tuple[str, ...]  # after `penstock`
    environ: Mapping[str, str]
    is_once: bool  # it ends by itself, and the others wait for it


def read(compose: Path = COMPOSE) -> list[Role]:
    """Every service of ours, after those that it depends on."""
    services: Mapping[str, Mapping[str, Any]] = yaml.safe_load(compose.read_text())["services"]
    order = TopologicalSorter(
        {name: found.get("depends_on", {}) for name, found in services.items()}
    )
    return [
        _role(name, services[name])
        for name in order.static_order()
        if services[name]["image"].startswith(IMAGE)
    ]


def with_workers(roles: Sequence[Role], count: int) -> list[Role]:
    """The same with so many workers, named as the first of them is."""
    others = [role for role in roles if list(role.command) != _WORKER]
    pattern = next(role for role in roles if list(role.command) == _WORKER)
    names = [f"worker-{number}" for number in range(1, count + 1)]
    return others + [
        replace(pattern, name=name, environ={**pattern.environ, "PENSTOCK_WORKER": name})
        for name in names
    ]


def _role(name: str, service: Mapping[str, Any]) -> Role:
    return Role(
        name=name,
        command=tuple(service["command"]),
        environ={key: str(value) for key, value in service["environment"].items()},
        is_once=service["restart"] == "no",
    )
