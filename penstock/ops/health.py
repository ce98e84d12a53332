"""Whether a process lives and whether it can do its job; two different questions.

Live means that its own loop moves: an orchestrator restarts what is not live, so nothing else
may make it false. Ready means that it can do its job; each check says why not.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from streams.errors import Error

Check = Callable[[], str]
"""Why this part of the job cannot be done now, or an empty string. May block; may raise Error."""


def run(checks: Mapping[str, Check]) -> dict[str, str]:
    """What each check says, asked side by side: together they take as long as the slowest."""
    if not checks:
        return {}
    with ThreadPoolExecutor(len(checks), thread_name_prefix="check") as threads:
        return dict(zip(checks, threads.map(_asked, checks.values()), strict=True))


def readiness(found: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """The answer of `/readyz`: its HTTP status and body."""
    faults = any(found.values())
    return 503 if faults else 200, {
        "status": "not ready" if faults else "ready",
        "checks": {name: fault or "ok" for name, fault in found.items()},
    }


def _asked(check: Check) -> str:
    try:
        return check()
    except Error as error:
        return error.message
