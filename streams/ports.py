"""How the features of requests become a version's inputs.

Either the version has one input and says which features fill it, in which order; or it has one
input for each feature, of the feature's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from streams import yamls
from streams.errors import InputError
from streams.frames import TYPES, Array, Port

Value = bool | float | str | None
Features = Mapping[str, Value]


class Layout(msgspec.Struct, frozen=True):
    """Which features fill which input."""

    ports: tuple[Port, ...]
    features: tuple[str, ...]

    def arrays(self, rows: Sequence[Features | None]) -> tuple[dict[str, Array], dict[int, str]]:
        """The inputs of `rows`, and of each row that cannot be one the reason.

        Such rows stand in the arrays as zeros. A feature that is null is NaN where numbers can be.
        """
        if self._is_one and (whole := self._whole(rows)) is not None:
            return {self.ports[0].name: whole}, {}
        faults: dict[int, str] = {}
        columns = {
            name: self._column(name, self._port(name), rows, faults) for name in self.features
        }
        if self._is_one:
            port = self.ports[0]
            stacked = np.stack(list(columns.values()), axis=1) if columns else np.empty((0, 0))
            return {port.name: stacked}, faults
        return {
            port.name: columns[port.name].reshape((-1, 1) if len(port.shape) == 2 else (-1,))
            for port in self.ports
        }, faults

    def _whole(self, rows: Sequence[Features | None]) -> Array | None:
        """The one input in a single sweep, when every row has every feature as a number."""
        dtype = TYPES[self.ports[0].type]
        try:
            found = np.array([[row[name] for name in self.features] for row in rows])  # type: ignore[index]
        except (KeyError, TypeError, OverflowError):
            return None
        is_numeric = found.ndim == 2 and found.dtype.kind in "fib" and dtype != "str"
        return found.astype(dtype) if is_numeric else None

    @property
    def _is_one(self) -> bool:
        return self.features != tuple(port.name for port in self.ports)

    def _port(self, name: str) -> Port:
        return self.ports[0] if self._is_one else next(p for p in self.ports if p.name == name)

    def _column(
        self, name: str, port: Port, rows: Sequence[Features | None], faults: dict[int, str]
    ) -> Array:
        dtype = TYPES[port.type]
        column = [_value(name, dtype, row, k, faults) for k, row in enumerate(rows)]
        return np.array(column, dtype=object if dtype == "str" else dtype)


def layout(ports: Sequence[Port], inputs: Sequence[str]) -> Layout:
    """The layout of a version with these ports whose bundle names `inputs`.

    Raises InputError when the two do not fit each other.
    """
    for port in ports:
        if port.type not in TYPES:
            raise _misfit(f"input {port.name!r} is a {port.type}, which features cannot fill")
    if not inputs:
        wide = [p.name for p in ports if len(p.shape) > 2 or p.shape[1:] not in ((), (1,))]
        if wide:
            raise _misfit(f"input {wide[0]!r} takes several features, and none are named")
        return Layout(tuple(ports), tuple(port.name for port in ports))
    if len(ports) != 1 or len(ports[0].shape) != 2:
        raise _misfit("features are named for one input of rows and columns, and it has others")
    width = ports[0].shape[1]
    if width not in (None, len(inputs)):
        raise _misfit(f"input {ports[0].name!r} takes {width} features, {len(inputs)} are named")
    return Layout(tuple(ports), tuple(inputs))


def _value(name: str, dtype: str, row: Features | None, k: int, faults: dict[int, str]) -> Any:
    empty: Any = "" if dtype == "str" else 0
    if row is None:
        faults.setdefault(k, "the event carries no features")
        return empty
    if name not in row:
        faults.setdefault(k, f"the event carries no feature {name!r}")
        return empty
    value = row[name]
    if dtype == "str" and isinstance(value, str):
        return value
    if dtype != "str" and isinstance(value, bool | int | float):
        return value
    if value is None and dtype.startswith("<f"):
        return np.nan
    told = "null" if value is None else type(value).__name__
    faults.setdefault(k, f"feature {name!r} is {told}, the version takes {_WORDS[dtype[1]]}")
    return empty


_WORDS = {"f": "a number", "i": "a whole number", "u": "a whole number", "b": "true or false",
          "t": "text"}  # fmt: skip


def _misfit(what: str) -> InputError:
    return InputError(
        what, field="inputs", rule="layout",
        fix="say inputs: [feature, ...] in the version's description, in the model's own order",
    )  # fmt: skip


def undeclared(layout: Layout, declared: Sequence[str]) -> None:
    """Raises InputError for a feature of the layout that the model does not declare."""
    for name in layout.features:
        if declared and name not in declared:
            raise InputError(
                f"the version takes a feature {name!r} that the model does not declare",
                field="inputs", fix=yamls.nearest(name, declared),
            )  # fmt: skip
