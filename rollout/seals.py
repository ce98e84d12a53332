"""Files of JSON Lines that name what was damaged in them. Pure.

Each line is an object of one member that says what it is, {"decision": {...}}, and the last is the
seal: the SHA-256 of every line and of each of its fields. It proves nothing against who can make
another seal - the chain of decisions does - but a flipped byte has a name.
"""

import hashlib
from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from streams.errors import InputError

SEAL = "seal"


class Line(Struct, frozen=True):
    """What the seal says of a line: its name, its digest, and that of each of its fields."""

    name: str
    sha256: str
    fields: dict[str, str]


class Seal(Struct, frozen=True):
    """`sha256` is over the encoded `lines`."""

    lines: tuple[Line, ...]
    sha256: str


class Part(Struct, frozen=True):
    """A line as it was written: what it is, which one ("decision 3"), and its JSON."""

    kind: str
    name: str
    body: bytes


def sealed(parts: Iterable[tuple[str, bytes]]) -> bytes:
    """The file of these (kind, JSON object) in their order. One has a number in `no` or `seq`."""
    lines = [_line(kind, body) for kind, body in parts]
    entries = tuple(map(_entry, lines))
    seal = Seal(entries, _sha256(msgspec.json.encode(entries)))
    return b"\n".join([*lines, _line(SEAL, msgspec.json.encode(seal)), b""])


def opened(text: bytes) -> list[Part]:
    """Every line before the seal, all of them as they were written.

    Raises InputError that names the line, and where it can be told the field, that is not.
    """
    *lines, last = text.removesuffix(b"\n").split(b"\n")
    if not text.endswith(b"\n"):
        raise broken(SEAL, "", "the file is cut short: no newline ends it", len(lines) + 1)
    seal = _seal(last, len(lines) + 1)
    for no, (line, entry) in enumerate(zip(lines, seal.lines, strict=False), start=1):
        if _sha256(line) != entry.sha256:
            raise broken(entry.name, _touched(line, entry), "it was changed", no)
    if len(lines) != len(seal.lines):
        said = f"it is over {len(seal.lines)} lines, and {len(lines)} stand before it"
        raise broken(SEAL, "lines", said, len(lines) + 1)
    return [
        Part(kind, entry.name, body)
        for line, entry in zip(lines, seal.lines, strict=True)
        for kind, body in [_split(line)]
    ]


def broken(name: str, field: str, said: str, no: int | None = None) -> InputError:
    """The error about a line called `name`."""
    where = f"{name}, {field}" if field else name
    return InputError(
        f"{where}: {said}",
        field=field or name,
        rule="as it was exported",
        why="what this file says is not what was decided and seen",
        fix="export it again, or compare with another copy and the topic decisions",
        line=no,
    )


def _line(kind: str, body: bytes) -> bytes:
    return b'{"%s":%s}' % (kind.encode(), body)


def _split(line: bytes) -> tuple[str, bytes]:
    ((kind, body),) = _fields(line).items()
    return kind, body


def _fields(body: bytes) -> dict[str, bytes]:
    found = msgspec.json.decode(body, type=dict[str, Raw])
    return {name: bytes(raw) for name, raw in found.items()}


def _entry(line: bytes) -> Line:
    kind, body = _split(line)
    fields = _fields(body)
    number = fields.get("no") or fields.get("seq")
    name = f"{kind} {number.decode()}" if number else kind
    return Line(name, _sha256(line), {each: _sha256(raw) for each, raw in fields.items()})


def _touched(line: bytes, entry: Line) -> str:
    """The first field that is another than the seal says; empty where that cannot be told."""
    try:
        fields = _fields(_split(line)[1])
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return ""
    changed = (
        name
        for name, digest in entry.fields.items()
        if name not in fields or _sha256(fields[name]) != digest
    )
    return next(changed, "")


def _seal(last: bytes, no: int) -> Seal:
    try:
        kind, body = _split(last)
        seal = msgspec.json.decode(body, type=Seal)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise broken(SEAL, "", f"the last line is none: {error}", no) from error
    is_whole = _line(SEAL, msgspec.json.encode(seal)) == last
    if kind != SEAL or not is_whole or seal.sha256 != _sha256(msgspec.json.encode(seal.lines)):
        raise broken(SEAL, "", "it was changed", no)
    return seal


def _sha256(text: bytes) -> str:
    return "sha256:" + hashlib.sha256(text).hexdigest()
