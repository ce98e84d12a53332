"""Route tables: who is assigned to which version. Pure, so that any SDK can do the same.

Published with vectors in `docs/vectors/assignment.json`; `docs/routes.md` says it in words.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from rollout.lanes import stretches
from streams.errors import InputError
from streams.events import Name, Share
from streams.hashing import EPOCH_2020_DAYS, assignment_point

CHAMPION = "champion"
REQUEST = "request"
"""The unit of a table that assigns each request by itself, by its prediction id."""

Scope = Mapping[str, tuple[str, ...]]
"""Tag to its values: a request is in scope when each tag here has one of them. Empty: always."""


class Arm(Struct, frozen=True, kw_only=True):
    """A version and the points of the lanes that it owns."""

    arm: Name
    version: Name
    lo: Share
    hi: Share
    confirm: bool = False  # a person confirms each answer before it is acted on


class RouteTable(Struct, frozen=True, kw_only=True):
    """Which version answers which unit at one decision point of a model.

    Args:
        generation: when the history of the database began, or was last restored from a backup;
            of two tables the one of the higher (generation, version) is the newer.
        version: what events carry as `route_version`; each is published once.
        salt: of the rollout; a new rollout draws anew.
        unit: what is hashed: "request", or what `unit_id` names.
        arms: the challengers', and last the champion's, which has what the others do not own.
        mirror: the share of requests whose inputs a service sends to the topic `mirror`.
        expires_at: wall clock, ms UTC; from then on the service's own champion answers.
    """

    model: Name
    route: Name
    generation: Annotated[int, Meta(ge=0)]
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    salt: str
    unit: Name
    scope: Scope
    arms: Annotated[tuple[Arm, ...], Meta(min_length=1)]
    mirror: Share
    expires_at: int

    @property
    def champion(self) -> Arm:
        return self.arms[-1]

    @property
    def rank(self) -> tuple[int, int]:
        return self.generation, self.version


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(RouteTable)


class Challenger(Struct, frozen=True, kw_only=True):
    """One challenger's part of a table: `share` of the units in scope, from 0 to 1."""

    version: str
    share: float
    confirm: bool = False


class Place(Struct, frozen=True):
    """The number under which the next table of a route is to be published."""

    model: str
    route: str
    generation: int
    version: int

    def table(
        self,
        *,
        salt: str,
        champion: str,
        challengers: Sequence[Challenger],
        expires_at: int,
        unit: str = REQUEST,
        scope: Scope | None = None,
        mirror: float = 0.0,
    ) -> RouteTable:
        """The table with these challengers, all that the rollout has, in the spec's order.

        Raises InputError when two of them would own the same units, or a version stands twice.
        """
        names = [CHAMPION, *(challenger.version for challenger in challengers)]
        if len(set(names)) < len(names):
            raise InputError(
                f"two arms would have one name: {', '.join(names)}",
                field="challengers",
                rule="unique",
            )
        owned = stretches([challenger.share for challenger in challengers])
        arms = [
            Arm(arm=one.version, version=one.version, lo=at.lo, hi=at.hi, confirm=one.confirm)
            for one, at in zip(challengers, owned, strict=True)
        ]
        return RouteTable(
            model=self.model,
            route=self.route,
            generation=self.generation,
            version=self.version,
            salt=salt,
            unit=unit,
            scope=scope or {},
            arms=(*arms, Arm(arm=CHAMPION, version=champion, lo=0.0, hi=1.0)),
            mirror=mirror,
            expires_at=expires_at,
        )


def first_version(restored_s: int) -> int:
    """Where route versions begin after a restore at this time (seconds UTC); 1 before any.

    Versions that were published after the backup are unknown to whoever restores it, and events
    carry them. So they go on at a number that time alone gives: 64 for each minute since 2020,
    which no route used up before. Within 31 bits until 2083.
    """
    return max(1, (restored_s // 60 - EPOCH_2020_DAYS * 1440) * 64)


def encoded(table: RouteTable) -> bytes:
    """The JSON that SDKs read."""
    return _ENCODER.encode(table)


def decoded(body: bytes, *, expires_at: int) -> RouteTable:
    """The table in `body`, with another expiry."""
    return msgspec.structs.replace(_DECODER.decode(body), expires_at=expires_at)


def in_scope(table: RouteTable, tags: Mapping[str, str]) -> bool:
    """Whether a request with these tags may be given to a challenger."""
    return all(tags.get(tag) in values for tag, values in table.scope.items())


def arm_of(table: RouteTable, unit: str, tags: Mapping[str, str]) -> Arm:
    """Who answers a request of `unit`: the account or device, or the prediction id."""
    if not in_scope(table, tags):
        return table.champion
    point = assignment_point(table.salt, unit)
    return next((arm for arm in table.arms if arm.lo <= point < arm.hi), table.champion)


def hashed(table: RouteTable, *, unit_id: str | None, prediction_id: str) -> str | None:
    """What `table` draws by; None when it needs a unit and the request has none."""
    return prediction_id if table.unit == REQUEST else unit_id


def misassigned(
    table: RouteTable,
    *,
    arm: str | None,
    unit_id: str | None,
    prediction_id: str,
    tags: Mapping[str, str],
) -> bool:
    """Whether an event that carries this table's version names an arm that is not its unit's.

    It is evidence against the split, never for a version. A request without the unit that the
    table draws by belongs to the champion.
    """
    unit = hashed(table, unit_id=unit_id, prediction_id=prediction_id)
    expected = table.champion if unit is None else arm_of(table, unit, tags)
    return arm != expected.arm
