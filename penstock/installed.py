"""What is installed: versions, and the extras that are there."""

import importlib.metadata
import platform
import sqlite3
import sys
from importlib.util import find_spec

EXTRAS = {
    "parquet": "pyarrow",
    "postgres": "psycopg",
    "kafka": "kafka",
    "faust": "faust",
    "audit": "datasketch",
    "evidently": "evidently",
    "torch": "torch",
    "grafana": "grafana_api",
    "demo": "skl2onnx",
}
"""Extra to the module that it brings."""


def release() -> str:
    """The version of Penstock that runs."""
    return importlib.metadata.version("penstock")


def versions() -> dict[str, str]:
    """The versions that a report of a fault needs."""
    return {
        "penstock": release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "extras": ", ".join(extras()),
    }


def extras() -> list[str]:
    """The extras whose module can be imported."""
    return [extra for extra, module in EXTRAS.items() if _is_there(module)]


def _is_there(module: str) -> bool:
    # A module that is loaded may have put another in its place that has no spec: faust does.
    return module in sys.modules or find_spec(module) is not None
