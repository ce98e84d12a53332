"""What the built-in collector counted, with names: one row a model, version, role and arm."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from streams import codes, counters
from streams.facts import ROLE_NAMES
from streams.pipe import CELL, CELLS, LATENCY_BUCKETS

Ints = npt.NDArray[np.int64]


class Row(msgspec.Struct, frozen=True):
    """Answers of one version in one role and arm, and what outcome labels say of them."""

    model: str
    version: str
    role: str
    arm: str
    answered: int
    errors: int
    skewed: int
    conflicts: int
    unknown_route: int
    paired: int
    disagreed: int
    labelled: int
    right: int
    wrong: int
    false_alarms: int
    misses: int
    declared_missing: int
    p50_ms: float | None  # latency; the middle of its bucket, which is half a power of two wide
    p99_ms: float | None


def rows(connection: Connection, *, since_ms: int = 0, model: str | None = None) -> list[Row]:
    """Every series that answered since then (event time, whole minutes), by name."""
    sums: dict[str, Ints] = {}
    for (what, _), cells in counters.panes(connection, "pipe/", since_ms=since_ms).items():
        sums[what] = sums[what] + cells if what in sums else cells
    models = codes.names(connection, "model")
    arms = codes.names(connection, "arm")
    versions: dict[int, dict[int, str]] = {}
    found = []
    for what, cells in sums.items():
        model_no, version_no, role, arm_no = map(int, what.split("/")[1:])
        if model is not None and models[model_no] != model:
            continue
        if model_no not in versions:
            versions[model_no] = codes.names(connection, "version", model_no)
        names = (
            models[model_no],
            versions[model_no][version_no],
            ROLE_NAMES[role],
            arms.get(arm_no, ""),
        )
        found.append(_row(names, cells))
    return sorted(found, key=lambda row: (row.model, row.role, row.version, row.arm))


def _row(names: tuple[str, str, str, str], cells: Ints) -> Row:
    counts: dict[str, Any] = {name: int(cells[k]) for name, k in CELL.items()}
    latency = cells[len(CELLS) :]
    return Row(
        *names, **counts, p50_ms=quantile_ms(latency, 0.5), p99_ms=quantile_ms(latency, 0.99)
    )


def quantile_ms(buckets: Ints, share: float) -> float | None:
    """The geometric middle of the bucket that holds this quantile, in milliseconds.

    Bucket k holds 2^(k/2) <= us < 2^((k+1)/2), so the answer is within a factor 2^(1/4) of the
    truth. None without latencies.
    """
    assert len(buckets) == LATENCY_BUCKETS
    total = int(buckets.sum())
    if not total:
        return None
    rank = max(1, int(np.ceil(share * total)))
    bucket = int(np.searchsorted(np.cumsum(buckets), rank))
    return round(float(2 ** ((bucket + 0.5) / 2)) / 1000, 3)
