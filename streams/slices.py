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
    columns: dict[tuple[bool, str], list[Any]] = {}
    mask = np.zeros(len(events), np.int64)
    for slot, part in enumerate(slices):
        holds = np.ones(len(events), bool)
        for term in part.where:
            holds &= _holds(term, _column(columns, term, events))
        mask |= holds.astype(np.int64) << slot
    return mask.tolist()


def _column(
    columns: dict[tuple[bool, str], list[Any]], term: Term, events: Sequence[Prediction]
) -> list[Any]:
    name = term.tag or term.feature or ""
    key = (term.tag is not None, name)
    if key not in columns:
        if term.tag is not None:
            columns[key] = [e.tags.get(name) if e.tags else None for e in events]
        else:
            columns[key] = [e.features.get(name) if e.features else None for e in events]
    return columns[key]


def _holds(term: Term, column: list[Any]) -> Bools:
    size = len(column)
    if term.missing:
        return np.fromiter((value is None for value in column), bool, size)
    wanted = term.equals
    if wanted is not None:
        kind = type(wanted)  # True == 1.0 in Python, so kinds are compared too
        return np.fromiter((v == wanted and type(v) is kind for v in column), bool, size)
    reals = np.fromiter((v if type(v) is float else np.nan for v in column), np.float64, size)
    holds = ~np.isnan(reals)
    if term.at_least is not None:
        holds &= reals >= term.at_least
    if term.below is not None:
        holds &= reals < term.below
    return holds
