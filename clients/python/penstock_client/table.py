"""A route table, and who gets which arm under it: what docs/routes.md says, and no more."""

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

REQUEST = "request"  # the unit of a table that draws by prediction id


class Arm(msgspec.Struct, frozen=True):
    """A version and the points that it owns."""

    arm: str
    version: str
    lo: float
    hi: float
    confirm: bool = False


class Table(msgspec.Struct, frozen=True):
    """Which version answers which unit; the last arm is the champion's."""

    model: str
    route: str
    generation: int
    version: int
    salt: str
    unit: str
    scope: dict[str, tuple[str, ...]]
    arms: tuple[Arm, ...]
    expires_at: int

    @property
    def rank(self) -> tuple[int, int]:
        """Of two tables, the one of the higher rank is the newer."""
        return self.generation, self.version

    def arm_of(
        self, unit_id: str | None, prediction_id: str, tags: tuple[tuple[str, str], ...]
    ) -> Arm:
        """Who answers the request: the champion where it is out of scope, or lacks the unit."""
        unit = prediction_id if self.unit == REQUEST else unit_id
        if unit is None or (self.scope and not self._in_scope(dict(tags))):
            return self.arms[-1]
        digest = blake2b(f"{self.salt}\0{unit}".encode(), digest_size=8).digest()
        point = (int.from_bytes(digest, "big") >> 11) / 2**53
        for arm in self.arms:
            if arm.lo <= point < arm.hi:
                return arm
        return self.arms[-1]

    def _in_scope(self, tags: Mapping[str, str]) -> bool:
        return all(tags.get(tag) in values for tag, values in self.scope.items())


_DECODER = msgspec.json.Decoder(Table)


def read(body: bytes, *, model: str, route: str) -> Table:
    """The table in `body`; ValueError when it is not one of this model and route."""
    table = _DECODER.decode(body)  # its error is a ValueError
    if (table.model, table.route) != (model, route):
        raise ValueError(f"it is of model {table.model!r}, route {table.route!r}")
    if not table.arms or table.arms[-1].arm != "champion":
        raise ValueError("its last arm is not the champion's")
    if not all(0 <= arm.lo <= arm.hi <= 1 for arm in table.arms):
        raise ValueError("an arm owns points outside of 0 to 1")
    if not (1 <= table.version < 2**31 and 0 <= table.generation < 2**40):
        raise ValueError(f"its number is {table.rank}")
    return table
