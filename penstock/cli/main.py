"""The `penstock` command. Each noun is a file of its own, imported when it is called."""

import os
import sys
from itertools import pairwise

import click

from penstock.cli.base import Group
from penstock.cli.output import FORMATS, Output
from penstock.errors import ConditionError
from streams.errors import (
    ConfigError,
    ConflictError,
    Error,
    IllegalTransitionError,
    NotAllowedError,
)

_HERE = "penstock.cli"
COMMANDS = {
    "up": (f"{_HERE}.up", "up", "Start everything on this machine."),
    "worker": (f"{_HERE}.roles", "worker", "Count events, beside other workers (Kafka)."),
    "control": (f"{_HERE}.roles", "control", "Relay, close and expire (Kafka)."),
    "web": (f"{_HERE}.roles", "web", "Serve pages and ingest (Kafka)."),
    "shadow": (f"{_HERE}.roles", "shadow", "Let candidates answer beside the live version."),
    "topics": (f"{_HERE}.topics", "topics", "Make and list the log's topics."),
    "send": (f"{_HERE}.send", "send", "Send events from a JSON Lines file or stdin."),
    "import": (f"{_HERE}.imports", "imports", "Import labels or predictions from CSV or Parquet."),
    "events": (f"{_HERE}.events", "events", "Look at events, and at those that were refused."),
    "model": (f"{_HERE}.model", "model", "Declare models and their versions."),
    "rollout": (f"{_HERE}.rollout", "rollout", "Take a challenger to full weight, or back."),
    "review": (f"{_HERE}.review", "review", "Confirm or refuse proposed answers."),
    "verify": (f"{_HERE}.verify", "verify", "Recompute an exported rollout, anywhere."),
    "key": (f"{_HERE}.key", "key", "Make, list and revoke API keys."),
    "webhook": (f"{_HERE}.webhook", "webhook", "Tell decisions to other systems by HTTP."),
    "db": (f"{_HERE}.db", "db", "Upgrade the database's schema, or show where it is."),
    "status": (f"{_HERE}.status", "status", "Show every role, log, database and backlog."),
    "doctor": (f"{_HERE}.doctor", "doctor", "Check this installation and say what to do."),
    "version": (f"{_HERE}.version", "version", "Print the version."),
}

OK, FAILED, USAGE, CONDITION, NOT_ALLOWED, STALE, ROLLED_BACK = range(7)
INTERRUPTED, PIPE_CLOSED = 130, 141
EXIT_CODES: dict[type[Error], int] = {
    ConfigError: USAGE,
    ConditionError: CONDITION,
    IllegalTransitionError: CONDITION,
    NotAllowedError: NOT_ALLOWED,
    ConflictError: STALE,
}

cli = Group(
    "penstock",
    entries=COMMANDS,
    no_args_is_help=True,
    help="Watches machine-learning models in production and decides, with evidence, which"
    " version serves.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 condition not met or timed out, 4 not allowed,"
    " 5 someone else moved it, 6 rolled back.",
)


def main() -> None:
    """The process ends with the exit code of the command."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """The exit code of the command; the one place where an error becomes text."""
    output = Output(format=_asked_format(args))
    if os.environ.get("NO_COLOR"):
        output.color = False
    try:
        with cli.make_context("penstock", args, obj=output) as ctx:
            code = cli.invoke(ctx)
        sys.stdout.flush()
    except click.exceptions.Exit as exit:
        code = exit.exit_code
    except (click.ClickException, Error) as error:
        code = _told(output, error)
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; what is still buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_CLOSED
    return code if isinstance(code, int) else OK


def _told(output: Output, error: click.ClickException | Error) -> int:
    """The exit code of `error`, which stands on stderr."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return USAGE
    if isinstance(error, click.ClickException):
        ctx = error.ctx if isinstance(error, click.UsageError) else None
        fix = f"{ctx.command_path} --help" if ctx is not None else ""
        output.fail(Error(error.format_message(), fix=fix), USAGE)
        return USAGE
    code = next((c for kind, c in EXIT_CODES.items() if isinstance(error, kind)), FAILED)
    output.fail(error, code)
    return code


def _asked_format(args: list[str]) -> str:
    """The format of errors that come before the options are read."""
    for flag, value in pairwise(args):
        if flag in ("-o", "--output") and value in FORMATS:
            return value
    return "table"


if __name__ == "__main__":
    main()
