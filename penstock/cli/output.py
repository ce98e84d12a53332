"""What a command prints: data on stdout in the format asked for, talk on stderr.

What came from outside is printed with escapes (`penstock.escaping`).
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO, TypeVar

import click

from penstock.errors import ConditionError
from penstock.escaping import escaped, safe_json
from streams.errors import Error

T = TypeVar("T")
FORMATS = ("table", "json", "jsonl")


class Output:
    """Where and how this run prints; the shared options of `penstock.cli.base` set it."""

    def __init__(self, *, format: str = "table") -> None:
        self.format = format
        self.quiet = False
        self.yes = False
        self.color: bool | None = None  # None lets click ask the terminal

    def rows(self, items: Iterable[Any], columns: Sequence[str]) -> None:
        """A list: a table with these columns, or every field as JSON; an empty one is `[]`."""
        plain = [_plain(item) for item in items]
        if self.format == "json":
            self._json(plain)
        elif self.format == "jsonl":
            for row in plain:
                self._out(_compact(row))
        elif not plain:
            self.say("nothing to show")
        else:
            self._table(plain, columns)

    def item(self, item: Any) -> None:
        """One thing: its fields below each other, or one JSON object."""
        plain = _plain(item)
        if self.format == "table":
            width = max(map(len, plain), default=0)
            for name, value in plain.items():
                self._out(f"{name:<{width}}  {shown(name, value)}")
        elif self.format == "json":
            self._json(plain)
        else:
            self._out(_compact(plain))

    def parts(self, item: Any, lists: Mapping[str, Sequence[str]]) -> None:
        """One thing with lists in it: its fields, then a table of each list; or one JSON object."""
        if self.format != "table":
            self.item(item)
            return
        plain = _plain(item)
        self.item({name: value for name, value in plain.items() if name not in lists})
        for name, columns in lists.items():
            if plain[name]:
                self._out("")
                self._table([dict(row) for row in plain[name]], columns)

    def stream(self, items: Iterable[T], text: Callable[[T], str], *, ends: bool = False) -> None:
        """A line for each item as it comes: its text, or one JSON object.

        An array needs an end: json prints one only when the stream `ends`.
        """
        if self.format == "json" and ends:
            self._json([_plain(item) for item in items])
            return
        for item in items:
            self._out(escaped(text(item)) if self.format == "table" else _compact(_plain(item)))
            sys.stdout.flush()

    def say(self, text: str) -> None:
        """Talk, one or several lines: it goes to stderr and is not heard with -q."""
        if not self.quiet:
            safe = "\n".join(map(escaped, text.split("\n")))
            self._out(safe, stream=sys.stderr)

    def fail(self, error: Error, code: int) -> None:
        """The error, its cause and the next step, on stderr; one JSON object for a program."""
        if self.format != "table":
            said = {"error": error.message, "why": error.why, "next": error.fix, "exit_code": code}
            self._out(_compact(said), stream=sys.stderr)
            return
        head = click.style("error:", fg="red", bold=True)
        self._out(f"{head} {escaped(error.message)}", stream=sys.stderr)
        for name, text in (("why: ", error.why), ("next:", error.fix)):
            if text:
                self._out(f"{name}  {escaped(text)}", stream=sys.stderr)

    def agree(self, question: str) -> None:
        """Someone said yes, on a terminal or by -y; ConditionError otherwise."""
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise ConditionError(f"not done: {question}", fix="say -y to act without a terminal")
        if not click.confirm(escaped(question), err=True):
            raise ConditionError("not done")

    def _table(self, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
        cells = [[shown(name, row.get(name)) for name in columns] for row in rows]
        heads = [name.removesuffix("_ms").replace("_", " ").upper() for name in columns]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        right = [all(isinstance(row.get(name), int | float) for row in rows)
                 and not name.endswith("_ms") for name in columns]  # fmt: skip
        for line in (heads, *cells):
            parts = [
                text.rjust(width) if to_right else text.ljust(width)
                for text, width, to_right in zip(line, widths, right, strict=True)
            ]
            self._out("  ".join(parts).rstrip())

    def _json(self, plain: Any) -> None:
        import msgspec

        self._out(safe_json(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()))

    def _out(self, text: str, *, stream: TextIO | None = None) -> None:
        click.echo(text, file=stream, color=self.color)


def shown(name: str, value: Any) -> str:
    """A value in a table: times as UTC, lists and numbers by name joined, nothing as a dash."""
    text = ""
    match value:
        case None | "" | []:
            text = "-"
        case dict() if not value:  # the pattern {} is any mapping
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case int() if name.endswith("_ms") and value > 10**11:
            text = utc(value)
        case float():
            text = f"{value:g}"
        case list() | tuple() if all(isinstance(part, str) for part in value):
            text = ", ".join(value)
        case dict() if all(type(part) in (int, float) for part in value.values()):
            text = ", ".join(f"{key} {shown(key, part)}" for key, part in value.items())
        case list() | tuple() | dict():
            text = _compact(value)
        case _:
            text = str(value)
    return escaped(text)


def utc(ms: int) -> str:
    """2026-11-21 08:15:00 UTC."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _plain(item: Any) -> Any:
    import msgspec

    return dict(item) if isinstance(item, Mapping) else msgspec.to_builtins(item)


def _compact(plain: Any) -> str:
    import msgspec

    return safe_json(msgspec.json.encode(plain).decode())
