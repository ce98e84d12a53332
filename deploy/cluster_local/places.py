"""The folder of a cluster, and the ports that it listens on."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.kafka_local.ports import free_ports, is_free
from penstock import lock
from streams.errors import ConfigError, UnavailableError

PORTS = "ports.json"
_USUAL = {"kafka": 9092, "postgres": 5432, "web": 8080, "prometheus": 9090}
_FREE_S = 6.0  # what a cluster that was killed leaves behind ends within this


def require_own(folder: Path) -> None:
    """Raises when the folder holds something else, or another cluster runs on it."""
    if not folder.is_dir():
        return
    if holder := lock.holder(folder):
        raise UnavailableError(
            f"{folder} is in use by {holder}", fix="stop it first, or name another with --data"
        )
    if any(folder.iterdir()) and not (folder / PORTS).exists():
        raise ConfigError(
            f"{folder} is not empty and holds no cluster",
            fix="--data with an empty folder, or one that an earlier cluster made",
        )


def ports(folder: Path, names: Sequence[str], *, web: int | None) -> Mapping[str, int]:
    """A port for each who listens: that of before, else the usual one, else any that is free.

    Raises UnavailableError when that for `web`, which was asked for, is taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PORTS
    kept: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    deadline = time.monotonic() + _FREE_S
    while not all(map(is_free, kept.values())) and time.monotonic() < deadline:
        time.sleep(0.05)
    if web is not None:
        if not is_free(web):
            raise UnavailableError(f"port {web} is taken", fix="name another with --port, or none")
        kept["web"] = web
    listening = [*_USUAL, *names]
    free = iter(free_ports(len(listening)))
    found = {name: _first_free(kept.get(name), _USUAL.get(name), next(free)) for name in listening}
    path.write_text(json.dumps(found))
    return found


def _first_free(*wanted: int | None) -> int:
    return next(port for port in wanted if port and is_free(port))
