"""Facts by series, pane and partition: how collectors come from rows to vectors."""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from streams.answer_rows import Answers
from streams.counters import Deltas
from streams.facts import Facts
from streams.models import Declaration

Ints = npt.NDArray[np.int64]


class Series(msgspec.Struct):
    """Rows by model, version, role and arm: `names[of[k]]` is row k's series."""

    names: list[str]
    of: Ints


def series_of(answers: Answers) -> Series:
    packed = (
        answers.ints("model_no") << 34
        | answers.ints("version_no") << 18
        | answers.ints("role") << 16
        | answers.ints("arm_no")
    )
    distinct, of = np.unique(packed, return_inverse=True)
    names = [f"{p >> 34}/{p >> 18 & 0xFFFF}/{p >> 16 & 3}/{p & 0xFFFF}" for p in distinct.tolist()]
    return Series(names, of.reshape(-1))


class Groups(msgspec.Struct):
    """Rows that share a series, pane and partition."""

    keys: list[tuple[int, int, int]]  # (series, pane, partition)
    of: Ints


def grouped(series: Ints, panes: Ints, partitions: Ints) -> Groups:
    columns = np.stack([series, panes, partitions], axis=1)
    order = np.lexsort(columns.T)
    ordered = columns[order]
    starts = np.ones(len(ordered), bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    of = np.empty(len(ordered), np.int64)
    of[order] = np.cumsum(starts) - 1
    return Groups([(s, p, q) for s, p, q in ordered[starts].tolist()], of)


def add(
    deltas: Deltas, prefix: str, series: Series, groups: Groups, cells: Ints,
    due_after_ms: int | None = None, suffix: str = "",
) -> None:  # fmt: skip
    counted: list[bool] = (cells != 0).any(axis=1).tolist()
    for (s, pane, partition), row, adds in zip(groups.keys, cells, counted, strict=True):
        if adds:
            due = None if due_after_ms is None else pane + due_after_ms
            deltas.add((f"{prefix}/{series.names[s]}{suffix}", pane, partition), row, due)


def declared(facts: Facts, rows: Ints) -> Iterator[tuple[Ints, int, Declaration]]:
    """(which of `rows`, model number, declaration) for each declaration in force at their times."""
    models = facts.answers.ints("model_no")[rows]
    times = facts.answers.ints("event_ms")[rows]
    for model_no in np.unique(models).tolist():
        mine = (models == model_no).nonzero()[0]
        revisions = facts.naming.models[model_no]
        whole = revisions.between(int(times[mine].min()), int(times[mine].max()))
        if whole is not None:
            yield mine, model_no, whole
            continue
        held: dict[int, tuple[Declaration, list[int]]] = {}
        for k in mine.tolist():
            declaration = revisions.at(int(times[k]))
            held.setdefault(id(declaration), (declaration, []))[1].append(k)
        for declaration, members in held.values():
            yield np.array(members, np.int64), model_no, declaration
