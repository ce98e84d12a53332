"""Slices as bit masks: bit k is set where every term of the model's slice k holds.

Columns instead of events: each tag or feature that any term names is read once for the batch.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.events import Prediction
from streams.models import Slice, Term

Bools = npt.NDArray[np.bool_]


def masks(slices: Sequence[Slice], events: Sequence[Prediction]) -> list[int]:
    """One mask an event; 0 when the model has no slices."""
    if not slices:
        return [0] * len(events)
    columns: dict[tuple[bool, str], _Column] = {}
    mask = np.zeros(len(events), np.int64)
    for slot, part in enumerate(slices):
        holds = np.ones(len(events), bool)
        for term in part.where:
            name = (term.tag is not None, term.tag or term.feature or "")
            if name not in columns:
                columns[name] = _Column(_values(term, events))
            holds &= columns[name].holds(term)
        mask |= holds.astype(np.int64) << slot
    return mask.tolist()


def _values(term: Term, events: Sequence[Prediction]) -> list[Any]:
    name: Any = term.tag or term.feature
    if term.tag is not None:
        return [e.tags.get(name) if e.tags else None for e in events]
    return [e.features.get(name) if e.features else None for e in events]


class _Column:
    """What one tag or feature is in each event."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values
        self._reals: npt.NDArray[np.float64] | None = None
        self._distinct: dict[Any, int] = {}
        self._which: npt.NDArray[np.int64] | None = None

    def holds(self, term: Term) -> Bools:
        if term.missing:
            return np.fromiter((v is None for v in self._values), bool, len(self._values))
        if term.equals is None:
            return self._in_range(term)
        return self._equals(term.equals)

    def _equals(self, wanted: str | bool | float) -> Bools:
        if isinstance(wanted, str):
            codes, wanted_code = self._codes(), self._distinct.get(wanted, -1)
            return np.equal(codes, wanted_code)
        kind = type(wanted)  # True == 1.0 in Python, so kinds are compared too
        same = (v == wanted and type(v) is kind for v in self._values)
        return np.fromiter(same, bool, len(self._values))

    def _codes(self) -> npt.NDArray[np.int64]:
        """A number for each distinct value: text is compared once, whatever the terms."""
        if self._which is None:
            known = self._distinct
            self._which = np.array(
                [known.setdefault(v, len(known)) for v in self._values], np.int64
            )
        return self._which

    def _in_range(self, term: Term) -> Bools:
        if self._reals is None:
            reals = (v if type(v) is float else np.nan for v in self._values)
            self._reals = np.fromiter(reals, np.float64, len(self._values))
        holds = ~np.isnan(self._reals)
        if term.at_least is not None:
            holds &= self._reals >= term.at_least
        if term.below is not None:
            holds &= self._reals < term.below
        return holds
