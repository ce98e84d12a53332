"""Rows of the ledger, as they are kept in memory: one by one, and as columns of a batch."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Column = npt.NDArray[Any]


class AnswerRow(NamedTuple):
    """One row of the ledger, in the order of its columns."""

    day: int
    pid16: bytes
    model_no: int
    version_no: int
    partition: int
    log_offset: int
    idx: int
    event_ms: int
    role: int
    route_no: int
    arm_no: int
    epoch: int
    unit8: int | None
    slices: int
    label_code: int
    value: float | None
    score: float | None
    level: int
    latency_us: int | None
    flags: int
    stratum_a: int
    stratum_b: int
    reference_no: int


ABSENT = -1  # in a column of integers; in one of reals it is NaN
PID16 = np.dtype("V16")
_REALS = frozenset({"value", "score"})
_OPTIONAL = frozenset({"unit8", "latency_us"}) | _REALS  # the hash of a unit is hardly ever ABSENT


class Answers:
    """Answer rows as columns; the first `fresh` are new, those behind were in the ledger.

    Args:
        columns: one array for each field of `AnswerRow`: ids as PID16, reals, and integers.
    """

    ABSENT = ABSENT

    def __init__(self, columns: Sequence[Column], fresh: int) -> None:
        self._columns = dict(zip(AnswerRow._fields, columns, strict=True))
        self.fresh = fresh

    @classmethod
    def of(cls, rows: Iterable[tuple[Any, ...]]) -> "Answers":
        """These rows, all of them new."""
        whole = list(rows)
        values = zip(*whole, strict=True) if whole else ((),) * len(AnswerRow._fields)
        named = zip(AnswerRow._fields, values, strict=True)
        return cls([_column(name, column) for name, column in named], len(whole))

    def __len__(self) -> int:
        return len(self._columns["day"])

    def ints(self, name: str) -> Ints:
        """An integer column, ABSENT where a row has none. Read only."""
        return self._read_only(name)

    def reals(self, name: str) -> Floats:
        """`score` or `value`, NaN where a row has none. Read only."""
        return self._read_only(name)

    def column(self, name: str) -> list[Any]:
        """The values of a column as Python's own, None where a row has none."""
        values: list[Any] = self._stored(name).tolist()
        return values

    def row(self, k: int) -> AnswerRow:
        return AnswerRow._make(self._value(name, k) for name in AnswerRow._fields)

    def columns(self) -> list[Column]:
        """All of them in the order of a row, masked where a row has no value."""
        return [self._stored(name) for name in AnswerRow._fields]

    def days(self) -> set[int]:
        """The days that the rows lie in."""
        return set(np.unique(self._columns["day"]).tolist())

    def taken(self, rows: Ints) -> "Answers":
        """These rows alone."""
        return Answers([column[rows] for column in self._columns.values()], len(rows))

    def in_order(self) -> "Answers":
        """The rows in the order of the ledger's key."""
        day, pid, model, version = (
            self._columns[name] for name in ("day", "pid16", "model_no", "version_no")
        )
        halves = pid.view(">u8").reshape(-1, 2).astype(np.uint64)
        return self.taken(np.lexsort((version, model, halves[:, 1], halves[:, 0], day)))

    def flag(self, k: int, flag: int) -> AnswerRow:
        """Row k with `flag` set; returns it."""
        self._columns["flags"][k] |= flag
        return self.row(k)

    def with_stored(self, stored: Sequence[AnswerRow]) -> "Answers":
        """These rows and, behind them, rows that are in the ledger already."""
        if not stored:
            return self
        behind = Answers.of(stored)._columns.values()
        both = zip(self._columns.values(), behind, strict=True)
        return Answers([np.concatenate(parts) for parts in both], self.fresh)

    def _read_only(self, name: str) -> Column:
        column = self._columns[name].view()
        column.flags.writeable = False
        return column

    def _stored(self, name: str) -> Column:
        column = self._columns[name]
        if name not in _OPTIONAL:
            return column
        absent = np.isnan(column) if name in _REALS else column == ABSENT
        return np.ma.masked_array(column, absent)

    def _value(self, name: str, k: int) -> Any:
        value = self._columns[name].item(k)
        if name not in _OPTIONAL:
            return value
        is_absent = value != value if name in _REALS else value == ABSENT  # noqa: PLR0124 - NaN
        return None if is_absent else value


def _column(name: str, values: Sequence[Any]) -> Column:
    """An array of what a column's rows hold, None as ABSENT or NaN."""
    if name == "pid16":
        return np.frombuffer(b"".join(values), PID16)
    if name in _REALS:
        return np.array(values, np.float64)
    if name in _OPTIONAL:
        values = [ABSENT if value is None else value for value in values]
    return np.array(values, np.int64)
