"""Declarations from YAML or JSON, without the parts of YAML that surprise or harm.

YAML here has no implicit types: `NO`, `1.10` and `16:30` are text until the schema says
otherwise. Anchors, aliases, tags and duplicate keys are refused. A file that begins with `{`
is JSON. Every error names the line and the field.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

from streams.errors import InputError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|(\[\.\.\.\])")
T = TypeVar("T", bound=msgspec.Struct)

Path = tuple[str | int, ...]


def read(text: bytes, kind: type[T], *, name: str = "file") -> T:
    """The `kind` that `text` declares; raises InputError with line, field and nearest name."""
    if len(text) > MAX_BYTES:
        raise InputError(f"{name}: {len(text)} bytes; at most {MAX_BYTES} are read", rule="size")
    if text.lstrip()[:1] == b"{":
        return _read_json(text, kind, name)
    value, lines = parse(text, name=name)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(error, value, kind, name, lines, strict=False) from error


def parse(text: bytes, *, name: str = "file") -> tuple[Any, dict[Path, int]]:
    """The YAML value, every scalar as text, and the line that each of its places stands on."""
    loader = None
    try:
        loader = _Loader(text.decode())
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        return ({} if node is None else _value(node, (), lines)), lines
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 at byte {error.start}", rule="encoding") from error
    except _Refused as error:
        raise InputError(f"{name}, line {error.line}: {error.reason}", rule="yaml") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise InputError(f"{name}, line {line}: {error.problem}", rule="yaml") from error
    except yaml.YAMLError as error:
        raise InputError(f"{name}: {error}", rule="yaml") from error
    finally:
        if loader is not None:
            loader.dispose()


class _Refused(Exception):
    def __init__(self, node: Any, reason: str) -> None:
        super().__init__(reason)
        self.line = node.start_mark.line + 1
        self.reason = reason


class _Loader(yaml.BaseLoader):
    """PyYAML's loader without resolvers, that refuses what makes a file mean more than it says."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _Refused(event, "anchors and aliases are not read; write the value out")
        if getattr(event, "tag", None) is not None:
            raise _Refused(event, f"the tag {event.tag!r} is not read; the schema gives the type")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Refused(event, f"nested deeper than {MAX_DEPTH}")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _value(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*path, k), lines) for k, child in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return node.value
    fields: dict[str, Any] = {}
    for key, child in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _Refused(key, "a key must be text")
        if key.value in fields:
            raise _Refused(key, f"the key {key.value!r} stands twice")
        fields[key.value] = _value(child, (*path, key.value), lines)
        lines[*path, key.value] = key.start_mark.line + 1
    return fields


def _read_json(text: bytes, kind: type[T], name: str) -> T:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{name}: {error}", rule="json") from error
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(error, value, kind, name, {}, strict=True) from error


def _explained(
    error: msgspec.ValidationError,
    value: Any,
    kind: type[msgspec.Struct],
    name: str,
    lines: dict[Path, int],
    *,
    strict: bool,
) -> InputError:
    rule, _, place = str(error).partition(" - at `$")
    path = _located(place.rstrip("`"), value, kind, str(error), strict=strict)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", rule)
    fix = ""
    if unknown:
        known = _field_names(kind, path)
        near = difflib.get_close_matches(unknown[1], known, n=1, cutoff=0.5)
        fix = f"did you mean {near[0]}?" if near else f"known fields: {', '.join(known)}"
        path, rule = (*path, unknown[1]), "this field is unknown"
    line = next((lines[path[:k]] for k in range(len(path), -1, -1) if path[:k] in lines), None)
    field = spelled(path)
    place = name if line is None else f"{name}, line {line}"
    return InputError(
        f"{place}: {field or 'the whole'}: {rule.replace('`', '')}", field=field, rule=rule, fix=fix
    )


def spelled(path: Path) -> str:
    """`slices[0].where` for ("slices", 0, "where")."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _located(place: str, value: Any, kind: type, message: str, *, strict: bool) -> Path:
    """msgspec's path with the keys it leaves out (`[...]`) found by trying each alone."""
    path: Path = ()
    for key, index, open_key in _STEP.findall(place):
        if not open_key:
            path = (*path, int(index) if index else key)
            continue
        for candidate in _at(value, path):
            alone = _replaced(value, path, {candidate: _at(value, path)[candidate]})
            try:
                msgspec.convert(alone, kind, strict=strict)
            except msgspec.ValidationError as error:
                if str(error) == message:
                    value, path = alone, (*path, candidate)
                    break
        else:
            break
    return path


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _replaced(value: Any, path: Path, part: Any) -> Any:
    if not path:
        return part
    copy = value.copy()
    copy[path[0]] = _replaced(value[path[0]], path[1:], part)
    return copy


def _field_names(kind: type, path: Path) -> list[str]:
    """The fields that the struct at `path` of `kind` has."""
    types = [inspect.type_info(kind)]
    for step in path:
        types = [inner for t in types for inner in _inner(t, step)]
    return sorted({f.encode_name for t in types for s in _structs(t) for f in s.fields})


def _inner(kind: inspect.Type, step: str | int) -> Iterator[inspect.Type]:
    match kind:
        case inspect.UnionType():
            for option in kind.types:
                yield from _inner(option, step)
        case inspect.StructType():
            yield from (field.type for field in kind.fields if field.encode_name == step)
        case inspect.DictType():
            yield kind.value_type
        case inspect.ListType() | inspect.VarTupleType():
            yield kind.item_type


def _structs(kind: inspect.Type) -> Iterator[inspect.StructType]:
    match kind:
        case inspect.StructType():
            yield kind
        case inspect.UnionType():
            for option in kind.types:
                yield from _structs(option)
