"""The lines of an exported rollout: what each holds, and reading them. Pure."""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw, Struct

from rollout import spec
from rollout.seals import Part, broken
from rollout.spec import Rollout
from streams.errors import InputError

FORMAT = 1
"""Of the file; another one is refused."""


class Head(Struct, frozen=True, kw_only=True):
    """Which rollout the file is about. Times are domain time, ms."""

    format: int
    rollout: str
    model: str
    route: str
    salt: str
    created_ms: int
    created_by: str


class Written(Struct, frozen=True, kw_only=True):
    """A spec as it was written."""

    no: int
    digest: str
    spec: Raw
    reason: str
    created_ms: int
    created_by: str


class Seen(Struct, frozen=True, kw_only=True):
    """What decision `seq` was made by, as `rollout.kept` has it."""

    seq: int
    at_ms: int
    digest: str
    fresh_ms: int | None
    record: Raw


def head_of(parts: list[Part]) -> Head:
    """The first line. Raises InputError unless it is one of this format."""
    if not parts or parts[0].kind != "rollout":
        raise broken("rollout", "", "the file does not begin with one", 1)
    try:
        head = msgspec.json.decode(parts[0].body, type=Head)
    except msgspec.DecodeError as error:
        raise broken("rollout", "", str(error), 1) from error
    if head.format != FORMAT:
        raise InputError(
            f"rollout, format: the file is of format {head.format}, this release reads {FORMAT}",
            field="format",
            fix="verify it with the release that wrote it",
            line=1,
        )
    return head


def lines_of(parts: list[Part], kind: str) -> Iterator[tuple[int, Part]]:
    """(line, part) of a kind."""
    return ((no, part) for no, part in enumerate(parts, start=1) if part.kind == kind)


def specs_of(parts: list[Part]) -> Mapping[str, Rollout]:
    """Specs by their digests, the oldest first. Raises InputError for a digest that is another."""
    found = {}
    for line, part in lines_of(parts, "revision"):
        try:
            written = msgspec.json.decode(part.body, type=Written)
            declared = spec.decoded(bytes(written.spec))
        except (msgspec.DecodeError, InputError) as error:
            raise broken(part.name, "spec", str(error), line) from error
        if spec.digest(declared) != written.digest:
            raise broken(part.name, "digest", "it is not that of the spec", line)
        found[written.digest] = declared
    return found
