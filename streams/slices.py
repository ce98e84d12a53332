"""Slices as bit masks: bit k is set where every term of the model's slice k holds.

Columns instead of events: each tag or feature that any term names is read once for the batch.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.events import Prediction
from streams.models import Slice, Term

Bools = npt.NDArray[np.bool_]


def masks(slices: Sequence[Slice], events: Sequence[Prediction]) -> npt.NDArray[np.int64]:
    """One mask an event; 0 when the model has no slices."""
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
    return mask


def _values(term: Term, events: Sequence[Prediction]) -> list[Any]:
    name: Any = term.tag or term.feature
    if term.tag is not None:
        return [tags.get(name) if (tags := e.tags) else None for e in events]
    return [features.get(name) if (features := e.features) else None for e in events]


class _Column:
    """What one tag or feature is in each event."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values
        self._reals: npt.NDArray[np.float64] | None = None
        self._distinct: dict[Any, int] = {}
        self._which: npt.NDArray[np.int64] | None = None

    def holds(self, term: Term) -> Bools:
        if term.missing:
            return np.array([v is None for v in self._values], bool)
        if term.equals is None:
            return self._in_range(term)
        return self._equals(term.equals)

    def _equals(self, wanted: str | bool | float) -> Bools:
        if isinstance(wanted, str):
            codes, wanted_code = self._codes(), self._distinct.get(wanted, -1)
            return np.equal(codes, wanted_code)
        kind = type(wanted)  # True == 1.0 in Python, so kinds are compared too
        return np.array([v == wanted and type(v) is kind for v in self._values], bool)

    def _codes(self) -> npt.NDArray[np.int64]:
        """A number for each distinct value: text is compared once, whatever the terms."""
        if self._which is None:
            self._distinct = {v: k for k, v in enumerate(dict.fromkeys(self._values))}
            known = self._distinct
            self._which = np.array([known[v] for v in self._values], np.int64)
        return self._which

    def _in_range(self, term: Term) -> Bools:
        if self._reals is None:
            reals = [v if type(v) is float else math.nan for v in self._values]
            self._reals = np.array(reals, np.float64)
        holds = ~np.isnan(self._reals)
        if term.at_least is not None:
            holds &= self._reals >= term.at_least
        if term.below is not None:
            holds &= self._reals < term.below
        return holds
