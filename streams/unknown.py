"""Finding the fields of an event that no type of ours defines."""

from collections.abc import Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from streams.events import TYPES


def unknown_fields(line: bytes) -> list[str]:
    """Names in a plain event that its type does not define, as paths, sorted.

    Costs about as much as decoding the event twice, so callers look at a sample.
    """
    try:
        value = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return []
    kind = TYPES.get(value.get("type", "")) if isinstance(value, dict) else None
    return sorted(set(_unknown(value, kind, ""))) if kind is not None else []


def _unknown(value: Mapping[str, Any], kind: type[msgspec.Struct], path: str) -> Iterator[str]:
    fields = _fields(kind)
    for name, inner in value.items():
        if name not in fields:
            if path or name != "type":
                yield path + name[:120]
        elif (struct := fields[name]) is not None:
            if isinstance(inner, dict):
                yield from _unknown(inner, struct, f"{path}{name}.")
            elif isinstance(inner, list):
                for one in inner:
                    if isinstance(one, dict):
                        yield from _unknown(one, struct, f"{path}{name}[].")


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct] | None]:
    """Each field by its name in JSON, with the struct that it holds or lists, if any."""
    return {
        field.encode_name: next(_structs(field.type), None)
        for field in msgspec.structs.fields(kind)
    }


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    elif get_origin(kind) in (Union, UnionType, Annotated, list):
        for part in get_args(kind):
            yield from _structs(part)
