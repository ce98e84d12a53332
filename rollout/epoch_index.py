"""Epochs in the numbers that ledger rows carry, and which of them a row belongs to."""

from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from rollout.cells import Opened
from streams.answer_rows import Answers
from streams.facts import UNKNOWN_ROUTE
from streams.plans import EpochPlan

Ints = npt.NDArray[np.int64]

NEVER_MS = 2**62


class Epoch(msgspec.Struct, frozen=True):
    """An epoch; `versions` and `arms` are the champion's, then the challengers'."""

    opened: Opened
    closes_ms: int
    model_no: int
    route_no: int
    versions: tuple[int, ...]
    arms: tuple[int, ...]
    feedback: dict[int, int] = {}  # by its number: the metric that feedback about a unit is of


class Epochs(msgspec.Struct, frozen=True):
    """Every epoch, as facts name them."""

    by_number: dict[int, Epoch]
    by_route: dict[tuple[int, int, int], Epoch]  # (model, route, route version)
    in_time: dict[tuple[int, int], list[Epoch]]  # (model, route) -> newest first


def indexed(found: list[Epoch], routes: Iterable[EpochPlan]) -> Epochs:
    """These epochs by what facts name them by; `routes` say which route versions are whose."""
    in_time: dict[tuple[int, int], list[Epoch]] = {}
    for epoch in sorted(found, key=lambda e: (e.opened.opens_ms, e.opened.epoch), reverse=True):
        in_time.setdefault((epoch.model_no, epoch.route_no), []).append(epoch)
    by_number = {epoch.opened.epoch: epoch for epoch in found}
    by_route = {
        (of.model_no, of.route_no, plan.route_version): of
        for plan in routes
        if (of := by_number.get(plan.epoch)) is not None
    }
    return Epochs(by_number, by_route, in_time)


def epochs_of(answers: Answers, epochs: Epochs) -> Ints:
    """The epoch of each row, 0 for none: by its route version, else by its time.

    One whose route version no plan knew is of no epoch, whenever it was.
    """
    named = answers.ints("epoch")
    known = np.isin(named, np.array(list(epochs.by_number), np.int64))
    of = np.where(known, named, 0)
    free = (named == 0) & (answers.ints("flags") & UNKNOWN_ROUTE == 0)
    if not free.any():
        return of
    models, routes, times = (answers.ints(n) for n in ("model_no", "route_no", "event_ms"))
    for (model_no, route_no), candidates in epochs.in_time.items():
        mine = free & (models == model_no) & (routes == route_no)
        for epoch in candidates if mine.any() else ():
            there = mine & (times >= epoch.opened.opens_ms) & (times < epoch.closes_ms)
            of[there] = epoch.opened.epoch
            mine &= ~there
    return of
