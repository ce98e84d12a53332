"""The files that deployment is made of, as data."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROMETHEUS: Mapping[str, Any] = yaml.safe_load(
    (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
)
OURS = {name for name, service in SERVICES.items() if service["image"].startswith("penstock:")}
LASTING = {name for name, service in SERVICES.items() if service["restart"] != "no"}


def places(service: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(volume or path, place in the container) for each mount."""
    return [(mount.split(":")[0], mount.split(":")[1]) for mount in service.get("volumes", [])]
