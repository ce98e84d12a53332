"""Declarations from YAML or JSON, without the parts of YAML that surprise or harm.

YAML here has no implicit types: `NO`, `1.10` and `16:30` are text until the schema says
otherwise. Anchors, aliases, tags and duplicate keys are refused. A file that begins with `{`
is JSON. Every error names the line, the field and the nearest thing that is valid.
"""

import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
import yaml

from streams import kinds
from streams.errors import InputError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
MAX_WORDS = 12  # that an error lists
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|(\[\.\.\.\])")
T = TypeVar("T", bound=msgspec.Struct)

Path = tuple[str | int, ...]


def read(text: bytes, kind: type[T], *, name: str = "file") -> T:
    """The `kind` that `text` declares; raises InputError with line, field and nearest word."""
    return located(text, kind, name=name)[0]


def located(text: bytes, kind: type[T], *, name: str = "file") -> tuple[T, dict[Path, int]]:
    """`read`, and the line on which each place of the file stands."""
    if len(text) > MAX_BYTES:
        raise InputError(f"{name}: {len(text)} bytes; at most {MAX_BYTES} are read", rule="size")
    is_json = text.lstrip()[:1] == b"{"
    value, lines = _parse_json(text, name) if is_json else parse(text, name=name)
    try:
        found = msgspec.convert(value, kind, strict=is_json)
    except msgspec.ValidationError as error:
        raise _explained(error, value, kind, name, lines, strict=is_json) from error
    for path in _not_finite(msgspec.to_builtins(found), ()):
        raise refused("must be a finite number", path, name=name, lines=lines)
    return found, lines


def refused(
    rule: str, path: Path, *, name: str, lines: Mapping[Path, int], fix: str = ""
) -> InputError:
    """What to raise when the value at `path` breaks `rule`."""
    field, line = spelled(path), line_of(path, lines)
    place = name if line is None else f"{name}, line {line}"
    return InputError(
        f"{place}: {field or 'the whole'}: {rule}", field=field, rule=rule, fix=fix, line=line
    )


def line_of(path: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of `path`, or of the nearest place around it that the file has."""
    return next((lines[path[:k]] for k in range(len(path), -1, -1) if path[:k] in lines), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """What to write instead of `word`: the nearest known word, else those that there are."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    more = f" and {len(words) - MAX_WORDS} more" if len(words) > MAX_WORDS else ""
    return f"known: {', '.join(words[:MAX_WORDS]) or 'none'}{more}"


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
        raise InputError(
            f"{name}, line {error.line}: {error.reason}", rule="yaml", line=error.line
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise InputError(f"{name}, line {line}: {error.problem}", rule="yaml", line=line) from error
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


def _parse_json(text: bytes, name: str) -> tuple[Any, dict[Path, int]]:
    """The JSON value, and its lines where YAML can read it too (YAML has no tabs to indent by)."""
    try:
        value = msgspec.json.decode(text)
        json.loads(text, object_pairs_hook=_distinct)
    except _TwiceError as error:
        raise InputError(f"{name}: the key {error.args[0]!r} stands twice", rule="json") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{name}: {error}", rule="json") from error
    try:
        return value, parse(text, name=name)[1]
    except InputError:
        return value, {}


class _TwiceError(Exception):
    """A key of a JSON object stands twice."""


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise _TwiceError(key)
        seen.add(key)


def _not_finite(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict | list | tuple):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for step, part in parts:
            yield from _not_finite(part, (*path, step))
    elif isinstance(value, float) and not math.isfinite(value):
        yield path


def _explained(
    error: msgspec.ValidationError,
    value: Any,
    kind: type[msgspec.Struct],
    name: str,
    lines: dict[Path, int],
    *,
    strict: bool,
) -> InputError:
    """`error` with the place in the file, in words, and with the nearest thing that is valid."""
    said, _, place = str(error).partition(" - at `$")
    path = _located(place.rstrip("`"), value, kind, str(error), strict=strict)
    if field := re.fullmatch(r"Object contains unknown field `(.*)`", said):
        fix = nearest(field[1], kinds.fields(kinds.at(kind, path)))
        return refused("this field is unknown", (*path, field[1]), name=name, lines=lines, fix=fix)
    if field := re.fullmatch(r"Object missing required field `(.*)`", said):
        path = (*path, field[1])
        fix = f"add {field[1]}: {kinds.example(kinds.at(kind, path))}".rstrip(": ")
        return refused("this field is missing", path, name=name, lines=lines, fix=fix)
    given, types = _at(value, path), kinds.at(kind, path)
    rule, fix = said.replace("`", ""), kinds.example(types)
    if said.startswith("Invalid enum value"):
        rule, fix = (
            f"{given!r} is not a word of this field",
            nearest(str(given), kinds.words(types)),
        )
    elif said.startswith("Expected `bool") and isinstance(given, str):
        rule, fix = f"{given!r} is not a word of this field", nearest(given, ("true", "false"))
    elif "matching regex" in said:
        rule = f"{given!r} is not written as this field wants it"
    elif said.startswith("Expected `array") and isinstance(given, str | int | float):
        fix = f"write a list: [{given}]"
    return refused(rule, path, name=name, lines=lines, fix=fix)


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
