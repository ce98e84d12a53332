"""The frozen parameters of an epoch, and the counters that intake fills for it.

An epoch is the body of a plan of kind "rollout"; closing it is another, and so is pausing what
sticky units are enrolled. What one metric's counter holds is told in `rollout.counted`.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from rollout.assignment import REQUEST
from rollout.counted import Counted, Own, Side
from streams.errors import InputError
from streams.hashing import assignment_point
from streams.models import pane_width_ms

PLAN = "rollout"
EVERYWHERE = -1  # the slot that stands for all requests
SETTLES_MS = 600_000
"""The age at which answers and pairs are complete where the spec says nothing else."""


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


def point(salt: str, pid16: bytes) -> float:
    """A permanent random number of a request in [0, 1), for this salt."""
    return assignment_point(salt, pid16.hex())
