"""How the columns of a file become events: the map that `penstock import --map` reads.

    model: spam
    columns: {prediction_id: request, label: truth, time: decided_at}
    fixed: {source: outcome, by_kind: human}
    time: {format: "%d.%m.%Y %H:%M", timezone: Europe/Berlin}

`columns` and `fixed` name fields of the event, dotted for what lies inside (`output.score`).
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from streams.errors import InputError
from streams.events import PREFIX

Kind = Literal["labels", "predictions"]
Cell = Any
Row = Mapping[str, Cell]
FLAGS = {"true": True, "false": False, "1": True, "0": False}
TRUTHS = ("label", "value", "text")
_NUMBERS = frozenset(
    ("value", "confidence", "sample_rate", "latency_ms", "queue_ms", "output.value",
     "output.score", "output.threshold")
)  # fmt: skip
_FIELDS: dict[Kind, frozenset[str]] = {
    "labels": frozenset(
        ("label_id", "prediction_id", "join_key", "source", "by_kind", "by", "label", "value",
         "text", "confidence", "explanation", "supersedes", "time", "event_id")
    ),
    "predictions": frozenset(
        ("prediction_id", "version", "route", "role", "arm", "route_version", "unit_id",
         "join_key", "time", "event_id", "sample_rate", "latency_ms", "queue_ms", "output.label",
         "output.score", "output.threshold", "output.scenario", "output.value", "output.text",
         "error.type", "error.message")
    ),
}  # fmt: skip
_OPEN = {"output.scores.": "number", "tags.": "category"}


class FeatureColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feature, from the column of its own name unless another is given."""

    type: Literal["number", "category", "boolean"]
    column: str | None = None


class TimeFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the time column reads: rfc3339, s or ms since 1970, or a pattern of strptime."""

    format: str = "rfc3339"
    timezone: str | None = None  # of times that name none


class Layout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a CSV file is written."""

    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8-sig"
    decimal: Literal[".", ","] = "."


class Map(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file that --map names."""

    model: str
    columns: dict[str, str]
    fixed: dict[str, str] = {}
    features: dict[str, FeatureColumn] = {}
    time: TimeFormat = TimeFormat()
    csv: Layout = Layout()
    missing: tuple[str, ...] = ("",)
    corrects: bool = False

    def column_of(self, field: str) -> str:
        """The column that a field of the event came from; the field itself when none."""
        name = field.removeprefix("features.").strip("'")
        if name in self.features and field.startswith("features."):
            return self.features[name].column or name
        return self.columns.get(field, field)

    def columns_read(self) -> set[str]:
        """Every column that the map reads."""
        return {*self.columns.values(), *(f.column or name for name, f in self.features.items())}


class RowError(Exception):
    """A row that cannot become an event: which column breaks which rule."""

    def __init__(self, code: str, column: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.column, self.detail = code, column, detail


def checked(mapping: Map, kind: Kind) -> Map:
    """`mapping` itself; raises InputError for a field that this kind of event does not have."""
    for where, names in (("columns", mapping.columns), ("fixed", mapping.fixed)):
        for field in names:
            if field not in _FIELDS[kind] and _open_type(field, kind) is None:
                known = ", ".join(sorted(_FIELDS[kind]))
                raise _wrong(f"{where}.{field}", f"{kind} have no such field", f"known: {known}")
    given = {*mapping.columns, *mapping.fixed}
    if "time" not in given:
        raise _wrong("columns.time", "a time is required", "map the column that holds it")
    if kind == "labels" and not given & {*TRUTHS}:
        raise _wrong("columns.label", "a truth is required: label, value or text", "")
    if kind == "labels" and mapping.features:
        raise _wrong("features", "labels have no features", "")
    twice = {*mapping.columns} & {*mapping.fixed}
    if twice:
        raise _wrong(f"fixed.{min(twice)}", "is mapped to a column too", "keep one of them")
    return mapping


class Mapper:
    """Rows to plain events, by one map."""

    def __init__(self, mapping: Map, kind: Kind) -> None:
        self._map = checked(mapping, kind)
        self._kind = kind
        self._missing = frozenset(mapping.missing)
        self._zone = _zone(mapping.time.timezone)
        self._readers = [
            (field.split("."), column, self._reader(field))
            for field, column in mapping.columns.items()
        ]
        self._readers += [
            (["features", name], feature.column or name, self._typed(feature.type))
            for name, feature in mapping.features.items()
        ]
        self._fixed = [
            (field.split("."), self._reader(field)(text, f"fixed.{field}"))
            for field, text in mapping.fixed.items()
        ]

    def event(self, row: Row) -> dict[str, Any]:
        """The event of a row; raises RowError naming the column that is wrong."""
        event: dict[str, Any] = {"model": self._map.model}
        for path, value in self._fixed:
            _put(event, path, value)
        for path, column, read in self._readers:
            cell = row[column]
            if cell is None or (isinstance(cell, str) and cell.strip() in self._missing):
                if path[0] == "features":
                    _put(event, path, None)
                continue
            _put(event, path, read(cell, column))
        if "time" not in event:
            raise RowError("missing_field", self._map.column_of("time"), "the row has no time")
        if self._kind == "predictions":
            return {"type": f"{PREFIX}prediction.v1", **event}
        return {"type": f"{PREFIX}label.v1", **self._identified(event)}

    def _identified(self, event: dict[str, Any]) -> dict[str, Any]:
        """The label with an id that the same row always gets, and another after any change."""
        truth = next((event[name] for name in TRUTHS if name in event), None)
        if truth is None:
            raise RowError("no_truth", self._map.column_of("label"), "the row has no truth")
        about = [event.get(n) for n in ("model", "source", "prediction_id", "join_key")]
        if self._map.corrects:
            event.setdefault("supersedes", f"row-{_digest(about)}")
        said = [*about, event["time"], truth, self._map.corrects]
        event.setdefault("label_id", f"imp-{_digest(said)}")
        return event

    def _reader(self, field: str) -> Callable[[Cell, str], Any]:
        if field == "time":
            return self._time_ms
        if field == "route_version":
            return self._whole
        return self._typed(
            "number" if field in _NUMBERS else _open_type(field, self._kind) or "category"
        )

    def _typed(self, kind: str) -> Callable[[Cell, str], Any]:
        return {"number": self._number, "boolean": _flag, "category": _text}[kind]

    def _number(self, cell: Cell, column: str) -> float:
        text = cell
        if isinstance(cell, str) and self._map.csv.decimal == ",":
            text = cell.replace(".", "").replace(",", ".")
        try:
            value = float(text)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise RowError("wrong_type", column, f"{cell!r} is not a finite number")
        return value

    def _whole(self, cell: Cell, column: str) -> int:
        value = self._number(cell, column)
        if value != int(value):
            raise RowError("wrong_type", column, f"{cell!r} is not a whole number")
        return int(value)

    def _time_ms(self, cell: Cell, column: str) -> int:
        known = self._map.time.format
        if isinstance(cell, datetime):
            return self._ms(cell, column)
        if known in ("s", "ms"):
            return int(self._number(cell, column) * (1000 if known == "s" else 1))
        text = str(cell).strip()
        try:
            if known == "rfc3339":
                return self._ms(datetime.fromisoformat(text), column)
            return self._ms(datetime.strptime(text, known), column)  # noqa: DTZ007 - see _ms
        except ValueError as error:
            raise RowError("wrong_type", column, f"{text[:60]!r} is not {known}") from error

    def _ms(self, time: datetime, column: str) -> int:
        if time.tzinfo is None:
            if self._zone is None:
                raise RowError(
                    "out_of_range", column, "the time names no zone: give time.timezone in the map"
                )
            time = time.replace(tzinfo=self._zone)
        return round(time.timestamp() * 1000)


def _put(event: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *outer, last = path if len(path) <= 2 else [path[0], path[1], ".".join(path[2:])]
    for name in outer:
        event = event.setdefault(name, {})
    event[last] = value


def _flag(cell: Cell, column: str) -> bool:
    value = FLAGS.get(str(cell).strip().lower())
    if value is None:
        raise RowError("wrong_type", column, f"{cell!r} is not true or false")
    return value


def _text(cell: Cell, column: str) -> str:
    if isinstance(cell, bytes | list | dict):
        raise RowError("wrong_type", column, f"a {type(cell).__name__} is not text")
    return cell.strip() if isinstance(cell, str) else str(cell)


def _open_type(field: str, kind: Kind) -> str | None:
    """The type of a field whose last part the file's owner chooses, or None."""
    if kind == "labels":
        return None
    return next((t for prefix, t in _OPEN.items() if field.startswith(prefix)), None)


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise _wrong(
            "time.timezone", f"{name!r} is not a time zone", "like Europe/Berlin"
        ) from error


def _digest(parts: Sequence[Any]) -> str:
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def _wrong(field: str, rule: str, fix: str) -> InputError:
    return InputError(f"map: {field}: {rule}", field=field, rule=rule, fix=fix)
