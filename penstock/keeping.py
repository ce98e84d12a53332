"""API keys for the command line: times in words, states beside the rows."""

import time
from collections.abc import Collection
from typing import Any

import msgspec

from penstock.installation import Installation
from streams import keys
from streams.db.engine import reading, writing
from streams.models import duration_ms


def create(
    here: Installation,
    *,
    name: str,
    scopes: Collection[str],
    models: Collection[str],
    expires: str | None,
) -> keys.NewKey:
    """A live key that ends after `expires` (for example `90d`), or never."""
    now_ms = _wall_ms()
    with writing(here.engine) as connection:
        return keys.create(
            connection,
            name=name,
            scopes=scopes,
            models=models,
            now_ms=now_ms,
            expires_ms=None if expires is None else now_ms + duration_ms(expires),
        )


def listed(here: Installation) -> list[dict[str, Any]]:
    """Every key with its state, the newest first."""
    now_ms = _wall_ms()
    with reading(here.engine) as connection:
        found = keys.list_keys(connection)
    return [{**msgspec.to_builtins(key), "state": key.state(now_ms)} for key in found]


def revoke(here: Installation, key_id: str) -> None:
    """The key opens nothing any more."""
    with writing(here.engine) as connection:
        keys.revoke(connection, key_id, _wall_ms())


def _wall_ms() -> int:
    """Keys live in wall time, whatever the speed of the domain's."""
    return time.time_ns() // 1_000_000
