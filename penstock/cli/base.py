"""How every command is made: the same options everywhere, and nothing imported before its turn."""

import difflib
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import click

from penstock.cli.output import FORMATS, Output


class Command(click.Command):
    """A command with -o, -q, -y and --no-color."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_shared())


class Group(click.Group):
    """Commands by name, each with its line of help; a command's module is imported to run it.

    `entries` maps a name to (module, attribute, help).
    """

    command_class = Command

    def __init__(
        self, *args: Any, entries: Mapping[str, tuple[str, str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.entries = dict(entries or {})
        self.params.extend(_shared())

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.entries, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.entries:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = self.entries[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], names, n=1)
            known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {known}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if not self.entries:
            super().format_commands(ctx, formatter)
            return
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, _, help) in self.entries.items()])


def output() -> Output:
    """Where the running command prints."""
    return click.get_current_context().ensure_object(Output)


def _shared() -> list[click.Option]:
    def option(names: list[str], attribute: str, value: Any = None, **kwargs: Any) -> click.Option:
        return click.Option(
            names, expose_value=False, callback=_setting(attribute, value), **kwargs
        )

    return [
        option(["-o", "--output"], "format", type=click.Choice(FORMATS), help="Format of stdout."),
        option(["-q", "--quiet"], "quiet", is_flag=True, help="Print data and errors only."),
        option(["-y", "--yes"], "yes", is_flag=True, help="Act without asking."),
        option(
            ["--no-color"], "color", False, is_flag=True, help="No colours; NO_COLOR does the same."
        ),
    ]


def _setting(attribute: str, value: Any) -> Callable[..., None]:
    def callback(ctx: click.Context, _param: click.Parameter, given: Any) -> None:
        if given:
            setattr(ctx.ensure_object(Output), attribute, given if value is None else value)

    return callback
