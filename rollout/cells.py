"""What intake counts for a rollout: the frozen parameters of an epoch, and the shape of its cells.

An epoch is the body of a plan of kind "rollout", and closing it is another. A metric's vector has
a row for each group and a column for each outcome; the first column says how many were enrolled:

    arms   groups: champion (two halves, for the self-check), challengers   columns: levels
    pairs  groups: challenger by stratum                                    columns: `Pair`

Of single audits each stratum has its columns, with one for who waits (`rollout.audits`).

What is enrolled and has no outcome by age H is missing, by subtraction, and stands for the level
that the metric declares. So nothing needs a sweep, and a vector is linear in what happened.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from evidence.buckets import Levels
from evidence.names import Form, Pair
from rollout.assignment import REQUEST
from rollout.spec import Loss, Source
from streams.errors import InputError
from streams.hashing import assignment_point
from streams.models import pane_width_ms

Ints = npt.NDArray[np.int64]

PLAN = "rollout"
HALVES = 2
EVERYWHERE = -1  # the slot that stands for all requests
SETTLES_MS = 600_000
"""The age at which answers and pairs are complete where the spec says nothing else."""


class Side(StrEnum):
    """What is compared: units of two arms, or two answers to one request."""

    ARMS = "arms"
    PAIRS = "pairs"


class Arm(Struct, frozen=True, kw_only=True):
    """A challenger in one epoch.

    `pi` is its probability among the units that the epoch compares; None: no evidence between
    arms.
    """

    arm: str
    version: str
    share: float
    pi: float | None = None
    lo: float = 0.0  # the points of the lanes that it owns
    hi: float = 0.0


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
    centre: float = 0.0
    sd: float = 1.0
    discordance: float = 1.0
    is_guardrail: bool = False
    own: Own | None = None
    crash: float | None = None

    @property
    def columns(self) -> int:
        """Enrolled, then one for each outcome; an unresolved pair is one by subtraction alone."""
        return 1 + (len(self.levels) if self.side is Side.ARMS else int(Pair.UNRESOLVED))

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


class Part(Struct, frozen=True):
    """A slice that is judged by itself, and the bit of an answer's mask that says so."""

    name: str
    slot: int
    protected: bool = False


class Salts(Struct, frozen=True, kw_only=True):
    """Each draws for one purpose; all differ, so that no draw says anything about another."""

    assignment: str
    audit: str
    rounding: str
    self_check: str

    def __post_init__(self) -> None:
        if len({getattr(self, name) for name in self.__struct_fields__}) < 4:
            raise InputError("two salts are the same", field="salts", rule="unique")


class Ceiling(Struct, frozen=True):
    """What a drift score is held against: it holds an advance, and proves nothing."""

    name: str
    limit: float


class Opened(Struct, frozen=True, kw_only=True, tag="opened"):
    """An epoch from its first unit on.

    Args:
        epoch: unique in the installation: ledger rows name it, and plans say for which route
            versions. Requests without one serve paired evidence, by their time.
        opens_ms: domain clock, later than the plan's commit by more than workers take to read it.
        positive: the class that a miss is about, of a model with two.
        scope: slots of the slices that make up the scope, () for all requests; None where no
            declared slices say who is in scope, so that no arm can be compared.
        estimand: evidence of another one never joins this epoch's.
        confirm_ms: how long a person has to confirm an answer of a challenger; 0: nobody is asked.
        checks: whether Penstock split the requests, so that an arm can be held to its lane.
        unit: "request", or what sticky units are.
        taken: points of the lanes that challengers owned in earlier epochs: their units have a
            past with another version, and are not compared.
        fresh: of sticky units: the share of all units that each arm newly has, the champion first.
        expects_pairs: whether every live answer of the champion has a shadow; then one without is
            the challenger's failure.
    """

    rollout: str
    model: str
    route: str
    epoch: Annotated[int, Meta(ge=1)]
    opens_ms: int
    champion: str
    challengers: Annotated[tuple[Arm, ...], Meta(min_length=1)]
    metrics: tuple[Counted, ...]
    salts: Salts
    positive: str | None = None
    slices: tuple[Part, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    scope: tuple[int, ...] | None = ()
    estimand: Literal["assigned", "supervised"] = "assigned"
    confirm_ms: int = 0
    checks: bool = True
    unit: str = REQUEST
    taken: tuple[tuple[float, float], ...] = ()
    fresh: tuple[float, ...] = ()
    expects_pairs: bool = False
    alpha: float = 0.05
    planned_units: int = 20_000
    guardrails: int = 1
    paths: int = 1
    self_check: bool = True

    def where(self) -> tuple[int, ...]:
        """The slots that are counted: everything, then each slice."""
        return (EVERYWHERE, *(part.slot for part in self.slices))

    def what(self, metric: int, slot: int, period: int = 1) -> str:
        """The counter of a metric in a slice; of sticky units also in a later period."""
        name = f"{self.prefix}{metric}/{slot}"
        return name if period == 1 else f"{name}/{period}"

    def first_bad(self, metric: int) -> str:
        """The counter of units of each arm that had a bad event, at once when they had it."""
        return f"{self.prefix}{metric}/first"

    @property
    def sticky(self) -> bool:
        return self.unit != REQUEST

    def pairs_of(self, metric: int) -> str:
        """The counter of sticky units' pairs with each challenger, and of those with an outcome.

        One of a unit's pairs is tested; floors count all of them.
        """
        return f"{self.prefix}{metric}/pairs"

    @property
    def grain_ms(self) -> int:
        """How finely the events of sticky units are told apart in time."""
        owned = [each.own.exposure_ms for each in self.metrics if each.own is not None]
        return pane_width_ms(min(owned, default=0))

    @property
    def owned(self) -> dict[int, Own]:
        """The metrics that compare sticky units of two arms, by number."""
        return self.owned_of(Side.ARMS)

    def owned_of(self, side: Side) -> dict[int, Own]:
        """The metrics of sticky units, by number."""
        return {
            no: each.own
            for no, each in enumerate(self.metrics)
            if each.own is not None and each.side is side
        }

    def corrected(self, metric: int) -> str:
        """The counter of what changed after its pane was frozen: from column x column."""
        return f"{self.late_prefix}{metric}"

    @property
    def late_prefix(self) -> str:
        return f"rollout-late/{self.epoch}/"

    @property
    def prefix(self) -> str:
        return f"rollout/{self.epoch}/"

    @property
    def split(self) -> str:
        """The counter of `SPLIT`, and behind it of each arm's answers, the champion's first."""
        return f"{self.prefix}split"

    @property
    def enrolled(self) -> str:
        """The counter of the sticky units of each arm, the champion's first."""
        return f"{self.prefix}enrolled"

    @property
    def assigned(self) -> str:
        """The counter of what clients assigned and got answered, for each arm."""
        return f"{self.prefix}assigned"

    @property
    def reviewed(self) -> str:
        """What became of the reviews of each challenger, `REVIEWED` for each."""
        return f"{self.prefix}reviewed"


SPLIT = ("misassigned", "stale", "conflicts", "unchecked")
ASSIGNED = ("assigned", "answered")
REVIEWED = ("confirmed", "refused", "timed-out", "withdrawn")
ANSWERED = 2  # the first of these: a person has said so


class Closed(Struct, frozen=True, kw_only=True, tag="closed"):
    """From `closes_ms` on, event time, requests are no evidence of the epoch: stale.

    It lies ahead of the plan's commit as `opens_ms` does, and some time after the next route table
    was published: services learn of that one by and by.

    Args:
        moves_ms: when that table was published, and units began to move; None: not before
            `closes_ms`.
    """

    rollout: str
    epoch: int
    closes_ms: int
    moves_ms: int | None = None

    @property
    def kept_ms(self) -> int:
        """Until when assignment was surely the epoch's: no exposure may end later."""
        return self.closes_ms if self.moves_ms is None else self.moves_ms


class Enrolled(Struct, frozen=True, kw_only=True, tag="enrolled"):
    """Sticky units that are first seen from `until_ms` on, event time, are not compared.

    Those before are followed up for their whole exposure, and only then may a weight grow. Where it
    does not, a second plan says from when on units are enrolled again.
    """

    rollout: str
    epoch: int
    until_ms: int
    again_ms: int | None = None

    def leaves_out(self, first_ms: int) -> bool:
        """Whether a unit that was first seen then is not compared."""
        ends_ms = first_ms + 1 if self.again_ms is None else self.again_ms
        return self.until_ms <= first_ms < ends_ms


Body = Opened | Closed | Enrolled
_DECODER = msgspec.json.Decoder(Body)


def encoded(body: Body) -> bytes:
    """The plan's body."""
    return msgspec.json.encode(body, order="sorted")


def decoded(body: bytes) -> Body:
    """What a plan of kind "rollout" says. Raises InputError for anything else."""
    try:
        found: Body = _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise InputError(f"the plan of a rollout cannot be read: {error}", rule="plan") from error
    return found


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
    found = known
    if metric.side is Side.PAIRS:
        found = np.concatenate([known, np.zeros_like(missing)[..., None]], axis=-1)
    found = found.copy()
    found[..., metric.missing] += missing
    return found


def point(salt: str, pid16: bytes) -> float:
    """A permanent random number of a request in [0, 1), for this salt."""
    return assignment_point(salt, pid16.hex())
