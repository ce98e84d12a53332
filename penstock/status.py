"""How an installation does, as its own web child tells it."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.settings import Settings

TIMEOUT_S = 1.0


def pipe(settings: Settings) -> Mapping[str, Any] | None:
    """What `GET /v1/pipe` answers, or None while nobody does."""
    return _get(f"{settings.url}/v1/pipe")


def is_up(settings: Settings) -> bool:
    """Whether ingest answers at the settings' address."""
    return _get(f"{settings.url}/healthz") is not None


def faults(settings: Settings) -> Mapping[str, str] | None:
    """What keeps the web at the settings' address from taking events; None where nobody answers."""
    try:
        answer = urllib.request.urlopen(f"{settings.url}/readyz", timeout=TIMEOUT_S)  # noqa: S310
    except urllib.error.HTTPError as refused:
        answer = refused
    except (OSError, ValueError):
        return None
    try:
        with answer:
            checks = msgspec.json.decode(answer.read())["checks"]
    except (OSError, ValueError, TypeError, KeyError):  # another program's port
        return None
    return {name: said for name, said in checks.items() if said != "ok"}


def line(seen: Mapping[str, Any]) -> str:
    """`in 120 | rejected 1 | counted 4,120 | waiting for intake: 0 records`."""
    lag = sum(seen["lag_records"].values())
    parts = [
        f"in {seen['accepted']:,}",
        f"rejected {seen['rejected']:,}",
        f"counted {seen['counted']:,}",
        f"waiting for intake: {lag:,} records",
    ]
    if not seen["taking"]:
        parts.append(f"not taking events: {seen['why_not']}")
    return " | ".join(parts)


def _get(url: str) -> Mapping[str, Any] | None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own http
            found: Mapping[str, Any] = msgspec.json.decode(answer.read())
            return found
    except (OSError, ValueError):
        return None
