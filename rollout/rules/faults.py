"""What lint finds in a spec, and how its rules say so."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from msgspec import Struct

from rollout.spec import Metric, Spec
from streams.models import duration_ms
from streams.yamls import Path


class Fault(NamedTuple):
    """The place in the file, what is wrong there and what to write instead.

    One that is an error keeps a rollout from being made; the others are to be read.
    """

    path: Path
    reason: str
    fix: str = ""
    is_error: bool = True


class Finding(Struct, frozen=True, kw_only=True):
    """A fault as it is printed, with its line where the file has lines."""

    level: Literal["error", "warning"]
    line: int | None = None
    field: str
    reason: str
    fix: str = ""


Rule = Callable[[Spec], Iterator[Fault]]
"""A rule reads a spec and yields what breaks it, with paths that begin below `spec`."""


def at(*path: str | int) -> Path:
    """The place of something in `spec`."""
    return ("spec", *path)


def warning(path: Path, reason: str, fix: str = "") -> Fault:
    return Fault(path, reason, fix, is_error=False)


def numbered(spec: Spec) -> Iterator[tuple[Path, Metric]]:
    """(place, metric) of each metric."""
    for k, metric in enumerate(spec.metrics):
        yield at("metrics", k), metric


def ms(text: str | None) -> int:
    """Milliseconds of a duration; none is 0."""
    return 0 if text is None else duration_ms(text)


def twice(words: Iterable[str]) -> list[str]:
    """Words that come more than once."""
    return sorted(word for word, count in Counter(words).items() if count > 1)
