"""Counters: dense int64 vectors keyed (what, pane, partition), that add.

The fenced owner of a partition is the only writer of its counters, so reading, adding and
writing back is safe, and what a partition counted is a function of its own log. Reading sums
over partitions.

A pane with a due time takes an event only while the watermark before the event is at or below
it; once the partition's watermark has passed, the pane is folded into the frozen total, for
ever. Panes without one follow corrections as long as they are kept.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, bindparam, select, update

from streams.db import bulk, postgres
from streams.tables import counter, counter_total

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Key = tuple[str, int, int]  # (what, pane_ms, partition)


class Delta(msgspec.Struct):
    """What is added to one vector, and when its pane freezes (None: never)."""

    cells: Ints
    due_ms: int | None = None


class Deltas:
    """Vectors to add. Two of them add up; the empty one changes nothing."""

    def __init__(self, vectors: dict[Key, Delta] | None = None) -> None:
        self.vectors: dict[Key, Delta] = {} if vectors is None else vectors

    def add(self, key: Key, cells: Ints, due_ms: int | None = None) -> None:
        """`cells` are added to the vector at `key`."""
        there = self.vectors.get(key)
        if there is None:
            self.vectors[key] = Delta(cells.copy(), due_ms)
        else:
            there.cells += cells

    def __add__(self, other: "Deltas") -> "Deltas":
        both = Deltas({key: Delta(d.cells.copy(), d.due_ms) for key, d in self.vectors.items()})
        for key, delta in other.vectors.items():
            both.add(key, delta.cells, delta.due_ms)
        return both


def in_time(watermark_ms: Ints, due_ms: Ints) -> Bools:
    """Whether an event that meets this watermark still enters a pane that is due then."""
    return watermark_ms <= due_ms


def tally(
    groups: Ints, cells: Ints, width: int, *, count: int, weights: Ints | None = None
) -> Ints:
    """How often each cell occurs in each group, shape (count, width); signed by `weights`."""
    flat = np.bincount(groups * width + cells, weights=weights, minlength=count * width)
    return np.rint(flat).astype(np.int64).reshape(count, width)


def save(connection: Connection, deltas: Deltas) -> None:
    """Every vector has grown by its delta. The caller owns the partitions."""
    if not deltas.vectors:
        return
    stored = _read(connection, deltas.vectors.keys())
    rows = []
    for key in sorted(deltas.vectors):  # sorted: rows are locked in one order everywhere
        delta = deltas.vectors[key]
        cells = delta.cells
        if key in stored:
            cells = _sum(cells, stored[key])
        what, pane_ms, partition = key
        rows.append((what, pane_ms, partition, cells.astype("<i8").tobytes(), delta.due_ms))
    _write(connection, rows)


def _sum(a: Ints, b: Ints) -> Ints:
    """The sum of two vectors; the shorter one lacks cells that were added later."""
    if len(a) < len(b):
        a, b = b, a
    total = a.copy()
    total[: len(b)] += b
    return total


def _read(connection: Connection, keys: Iterable[Key]) -> dict[Key, Ints]:
    if connection.dialect.name == "postgresql":
        whats, panes, partitions = zip(*keys, strict=True)
        rows: Iterable[Any] = postgres.fetched(
            connection,
            # OFFSET 0: one look into the index for each key, whatever the statistics say.
            "SELECT c.* FROM"
            " unnest(%b::text[], %b::bigint[], %b::smallint[]) AS k(what, pane_ms, partition),"
            " LATERAL (SELECT what, pane_ms, partition, cells FROM counter WHERE what = k.what"
            " AND pane_ms = k.pane_ms AND partition = k.partition OFFSET 0) c",
            (list(whats), list(panes), list(partitions)),
        )
    else:
        rows = connection.exec_driver_sql(
            "SELECT c.what, c.pane_ms, c.partition, c.cells FROM json_each(?) k"
            " CROSS JOIN counter c ON c.what = k.value ->> 0 AND c.pane_ms = k.value ->> 1"
            " AND c.partition = k.value ->> 2",
            (msgspec.json.encode(list(keys)).decode(),),
        )
    return {(row[0], row[1], row[2]): vector(row[3]) for row in rows}


_ON_SQLITE = (
    "INSERT INTO counter (what, pane_ms, partition, cells, due_ms) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (what, pane_ms, partition) DO UPDATE SET cells = excluded.cells"
)
# One statement: of many the server would plan each anew (`streams.db.postgres`).
_ON_POSTGRESQL = (
    "INSERT INTO counter (what, pane_ms, partition, cells, due_ms) SELECT * FROM"
    " unnest(%b::text[], %b::bigint[], %b::smallint[], %b::bytea[], %b::bigint[])"
    " ON CONFLICT (what, pane_ms, partition) DO UPDATE SET cells = excluded.cells"
)


def _write(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    if connection.dialect.name == "postgresql":
        columns = tuple(list(column) for column in zip(*rows, strict=True))
        postgres.execute(connection, _ON_POSTGRESQL, columns)
    else:
        connection.exec_driver_sql(_ON_SQLITE, rows)


def vector(blob: bytes) -> Ints:
    """The cells of a stored vector."""
    return np.frombuffer(blob, "<i8").astype(np.int64)


def freeze(connection: Connection, watermarks: Mapping[int, int]) -> int:
    """Every open pane that these watermarks have passed is folded into its total, for ever.

    Returns how many panes were frozen.
    """
    due = _due(connection, watermarks)
    if not due:
        return 0
    sums: dict[tuple[str, int], list[Ints]] = {}
    for what, partition, _, cells in due:
        sums.setdefault((what, partition), []).append(vector(cells))
    add_totals(connection, sums)
    keys = [{"w": what, "q": partition, "p": pane} for what, partition, pane, _ in due]
    connection.execute(_FREEZE, keys)
    return len(due)


_FREEZE = (
    update(counter)
    .where(
        counter.c.what == bindparam("w"),
        counter.c.pane_ms == bindparam("p"),
        counter.c.partition == bindparam("q"),
    )
    .values(frozen=1)
)


def _due(
    connection: Connection, watermarks: Mapping[int, int]
) -> list[tuple[str, int, int, bytes]]:
    """(what, partition, pane, cells) of every open pane that a watermark has passed."""
    if connection.dialect.name == "postgresql":
        given: tuple[Any, ...] = (list(watermarks.keys()), list(watermarks.values()))
        rows: Iterable[Any] = postgres.fetched(connection, _DUE_ON_POSTGRESQL, given)
    else:
        given = (msgspec.json.encode(list(watermarks.items())).decode(),)
        rows = connection.exec_driver_sql(_DUE_ON_SQLITE, given)
    return [(row[0], row[1], row[2], row[3]) for row in rows]


_DUE_ON_POSTGRESQL = (
    "SELECT c.what, c.partition, c.pane_ms, c.cells"
    " FROM unnest(%b::smallint[], %b::bigint[]) AS k(partition, watermark_ms),"
    " LATERAL (SELECT * FROM counter WHERE partition = k.partition"
    " AND frozen = 0 AND due_ms IS NOT NULL AND due_ms < k.watermark_ms OFFSET 0) c"
)
_DUE_ON_SQLITE = (
    "SELECT c.what, c.partition, c.pane_ms, c.cells"
    " FROM json_each(?) k CROSS JOIN counter c ON c.partition = k.value ->> 0"
    " AND c.frozen = 0 AND c.due_ms IS NOT NULL AND c.due_ms < k.value ->> 1"
)


def add_totals(connection: Connection, sums: Mapping[tuple[str, int], list[Ints]]) -> None:
    """Vectors that are complete are in the frozen totals of (what, partition), for ever."""
    at = counter_total.c
    whats = {what for what, _ in sums}
    stored = {
        (row.what, row.partition): row
        for row in connection.execute(select(counter_total).where(at.what.in_(whats)))
    }
    rows = []
    for (what, partition), vectors in sorted(sums.items()):
        before = stored.get((what, partition))
        total = np.zeros(0, np.int64) if before is None else vector(before.cells)
        for cells in vectors:
            total = _sum(total, cells)
        panes = len(vectors) + (0 if before is None else before.panes)
        blob = total.astype("<i8").tobytes()
        rows.append({"what": what, "partition": partition, "cells": blob, "panes": panes})
    bulk.upsert(connection, counter_total, rows, update=("cells", "panes"))


def totals(connection: Connection, prefix: str) -> dict[str, Ints]:
    """Frozen totals of every counter whose name begins so, summed over partitions."""
    at = counter_total.c
    return _summed(
        (row.what, row.cells)
        for row in connection.execute(
            select(at.what, at.cells).where(at.what.startswith(prefix, autoescape=True))
        )
    )


def panes(connection: Connection, prefix: str, *, since_ms: int = 0) -> dict[tuple[str, int], Ints]:
    """Open and frozen panes by (what, pane start), summed over partitions."""
    at = counter.c
    rows = connection.execute(
        select(at.what, at.pane_ms, at.cells).where(
            at.what.startswith(prefix, autoescape=True), at.pane_ms >= since_ms
        )
    )
    return _summed(((row.what, row.pane_ms), row.cells) for row in rows)


def _summed(rows: Iterable[tuple[Any, bytes]]) -> dict[Any, Ints]:
    summed: dict[Any, Ints] = {}
    for key, cells in rows:
        summed[key] = _sum(summed[key], vector(cells)) if key in summed else vector(cells)
    return summed
