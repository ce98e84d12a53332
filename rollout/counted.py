"""One metric of an epoch: what of it is counted, and how its cells become outcomes.

A metric's vector has a row for each group and a column for each outcome; the first column says how
many were enrolled:

    arms   groups: champion (two halves, for the self-check), challengers   columns: levels
    pairs  groups: challenger by stratum                                    columns: `Pair`

Of single audits each stratum has its columns, with one for who waits (`rollout.audits`). Of audited
pairs one more column says how many nobody looks at.

What is enrolled and has no outcome by age H is missing, by subtraction, and stands for the level
that the metric declares. So nothing needs a sweep, and a vector is linear in what happened.
"""

from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Struct, UnsetType

from evidence.buckets import Levels
from evidence.names import Form, Pair
from rollout.spec import Loss, Source
from streams.errors import InputError
from streams.models import pane_width_ms

Ints = npt.NDArray[np.int64]

HALVES = 2


class Side(StrEnum):
    """What is compared: units of two arms, or two answers to one request."""

    ARMS = "arms"
    PAIRS = "pairs"


class Buckets(Struct, frozen=True, kw_only=True):
    """How real values become levels (`evidence.buckets.Levels`)."""

    cap: float
    least: float
    floor: float = 0.0
    count: int = 64

    def levels(self) -> Levels:
        return Levels(cap=self.cap, least=self.least, floor=self.floor, count=self.count)


class Own(Struct, frozen=True, kw_only=True):
    """How the events of a sticky unit within its exposure become its one value.

    Args:
        stat: their mean, their sum, or whether there was any; of pairs one of them, drawn by hash.
        exposure_ms: for how long after its enrolment a unit's events count.
        settles_ms: how long after its time an event's outcome is waited for.
        levels: of a cost: what each outcome of an event counts; empty where it is a number.
        scale: an event counts in whole numbers, so many to one unit of the metric.
        absent: what an event without a known outcome stands for; None: it is left out.
    """

    stat: Literal["mean", "sum", "any", "one"]
    exposure_ms: int
    settles_ms: int
    levels: tuple[float, ...] = (0.0, 1.0)
    scale: float = 1.0
    absent: float | None = None


class Counted(Struct, frozen=True, kw_only=True):
    """One metric of an epoch, as it is counted and tested. All of it is frozen.

    Args:
        limit: the margin, or the ceiling, in units of the metric; of a quantile 0, because its
            margin is in `thresholds`.
        label_source: whose labels tell the outcome; None where the answer itself does.
        horizon_ms: H, the age at which a pane freezes, from its end.
        levels: the outcome of each column, in units of the metric; empty for pairs.
        missing: the column's index (of `levels`, or a `Pair`) that stands for what is missing.
        buckets: of a mean; None for a rate.
        thresholds: of a quantile, ms: the champion's, the challenger's.
        high: of single audits: the highest that each outcome may be; `levels` holds the lowest.
        q: inclusion probability of each stratum: agreements, disagreements, and the same again
            for protected slices where these are sampled at another rate; of single audits:
            protected slices, the others. (1,) when all are seen.
        has_unseen: of audited pairs: whether those that nobody looks at have a column of their own.
            Of epochs that were frozen before there was one it is unset, here and wherever they are
            written: these pairs are among the equal ones there.
        centre, sd: the champion's expected mean and spread, from earlier traffic.
        discordance: expected spread of one weighted pair.
        is_guardrail: whether its harm rolls back.
        own: of a sticky unit; None where each request is a unit.
        crash: the ratio of first bad events that is harm at once; None without a fast path.
    """

    name: str
    source: Source
    loss: Loss | None
    form: Form
    side: Side
    limit: float
    higher_is_better: bool
    horizon_ms: int
    missing: int
    label_source: str | None = None
    levels: tuple[float, ...] = (0.0, 1.0)
    high: tuple[float, ...] = ()
    buckets: Buckets | None = None
    thresholds: tuple[float, float] | None = None
    q: tuple[float, ...] = (1.0,)
    has_unseen: bool | UnsetType = UNSET
    centre: float = 0.0
    sd: float = 1.0
    discordance: float = 1.0
    is_guardrail: bool = False
    own: Own | None = None
    crash: float | None = None

    @property
    def columns(self) -> int:
        """Enrolled, then one for each outcome; an unresolved pair is one by subtraction alone."""
        if self.side is Side.ARMS:
            return 1 + len(self.levels)
        return 1 + int(Pair.UNRESOLVED) + (self.has_unseen is True)

    @property
    def unseen(self) -> int:
        """The column of pairs that nobody looks at, the last: they lose the same, as equal ones."""
        return self.columns - 1

    @property
    def audited(self) -> bool:
        """Whether single answers are audited (`rollout.audits`)."""
        return self.side is Side.ARMS and self.source == "audit"

    @property
    def width_ms(self) -> int:
        return pane_width_ms(self.horizon_ms)

    def groups(self, challengers: int) -> int:
        if self.side is Side.ARMS:
            return HALVES + challengers
        return challengers * len(self.q)


def shaped(metric: Counted, vector: Ints, challengers: int) -> Ints:
    """A stored vector as (..., groups, columns); the empty one has counted nothing."""
    groups = metric.groups(challengers)
    if not vector.size:
        return np.zeros((groups, metric.columns), np.int64)
    return vector.reshape(*vector.shape[:-1], groups, metric.columns)


def outcomes(metric: Counted, shaped: Ints) -> Ints:
    """Counts of each outcome, shape (..., groups, levels or `Pair`): missing ones in their place.

    Raises InputError when more outcomes were counted than were enrolled.
    """
    known = shaped[..., 1:]
    missing = shaped[..., 0] - known.sum(axis=-1)
    if (missing < 0).any():
        raise InputError(
            f"{metric.name}: {-int(missing.min())} outcomes of nobody",
            field=metric.name,
            rule="outcomes are of those enrolled",
        )
    found = known.copy()
    if metric.side is Side.PAIRS:
        found = np.zeros((*missing.shape, len(Pair)), np.int64)
        found[..., : Pair.UNRESOLVED] = known[..., : Pair.UNRESOLVED]
        found[..., Pair.EQUAL] += known[..., Pair.UNRESOLVED :].sum(axis=-1)
    found[..., metric.missing] += missing
    return found
