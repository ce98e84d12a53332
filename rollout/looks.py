"""What the judge looks at, apart from any store: frozen totals and the parameters they stand under.

A look is all that a verdict depends on. Who has it can compute the verdict again.
"""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct
from sqlalchemy import Connection

from rollout import measurements, reviews
from rollout.cells import PLAN, REVIEWED, Opened, decoded
from rollout.reviews import State
from streams import counters, plans
from streams.messages import WindowMeasured

Ints = npt.NDArray[np.int64]


class Look(Struct, frozen=True, kw_only=True):
    """One moment of a rollout.

    Args:
        epochs: oldest first.
        totals: frozen totals by counter, summed over partitions, what changed too late, and what
            became of reviews.
        windows: what monitors measured last, of those that are not silent.
        peaks: the strongest evidence of harm in earlier looks, in nats, by `key_of`: harm is
            latched by it.
    """

    epochs: tuple[Opened, ...]
    totals: dict[str, tuple[int, ...]]
    windows: tuple[WindowMeasured, ...] = ()
    peaks: dict[str, float] = {}

    def vector(self, what: str) -> Ints:
        return np.array(self.totals.get(what, ()), np.int64)


def key_of(arm: str, metric: str, part: str, *path: str) -> str:
    """The account of one challenger's metric, over all traffic or in a slice, on its `path`."""
    return msgspec.json.encode([arm, metric, part, *path]).decode()


def digest(look: Look) -> str:
    """sha256 of everything that a verdict depends on."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(look, order="sorted")).hexdigest()


def look_at(
    connection: Connection, rollout: str, *, peaks: dict[str, float], now_ms: int | None = None
) -> Look:
    """What is frozen now of all epochs of `rollout`, and what was measured lately.

    Args:
        now_ms: domain time; None: nothing was measured lately.
    """
    bodies = [
        decoded(plan.body)
        for plan in plans.read(connection)
        if plan.kind == PLAN and plan.id == rollout
    ]
    epochs = tuple(body for body in bodies if isinstance(body, Opened))
    totals: dict[str, tuple[int, ...]] = {}
    for epoch in epochs:
        for what, cells in counters.totals(connection, epoch.prefix).items():
            totals[what] = tuple(cells.tolist())
        for (what, _), cells in counters.panes(connection, epoch.late_prefix).items():
            before = np.array(totals.get(what, [0] * len(cells)), np.int64)
            totals[what] = tuple((before + cells).tolist())
    totals |= _reviewed(connection, [epoch for epoch in epochs if epoch.confirm_ms])
    windows: tuple[WindowMeasured, ...] = ()
    if now_ms is not None and epochs and epochs[-1].ceilings:
        windows = measurements.fresh(connection, epochs[-1].model, now_ms=now_ms)
    return Look(epochs=epochs, totals=totals, windows=windows, peaks=dict(peaks))


def _reviewed(connection: Connection, epochs: Sequence[Opened]) -> dict[str, tuple[int, ...]]:
    """What became of reviews, of the epochs in which some are closed: each is closed for ever."""
    found = reviews.counts(connection, [epoch.epoch for epoch in epochs]) if epochs else {}
    totals = {
        epoch.reviewed: tuple(
            found.get((epoch.epoch, one.version, State(name)), 0)
            for one in epoch.challengers
            for name in REVIEWED
        )
        for epoch in epochs
    }
    return {what: cells for what, cells in totals.items() if any(cells)}
