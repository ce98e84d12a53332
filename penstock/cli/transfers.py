"""What is said before, while and after lines are sent, and `penstock send` itself."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from penstock import sending
from penstock.cli.main import FAILED, INTERRUPTED, OK
from penstock.cli.output import Output
from penstock.cli.progress import Progress
from penstock.sending import Batch, Report, Target
from penstock.server import Server
from streams.errors import Error, InputError

GZIP_MAGIC = b"\x1f\x8b"


def send_file(output: Output, name: str, *, server: str, key: str | None, from_line: int) -> int:
    """The lines of a file or of stdin were sent; the exit code."""
    total = None
    if name != "-":
        with _lines(name) as stream:
            total = max(0, sending.count_lines(stream) - from_line + 1)
        output.say(f"{name}: {total:,} lines, {Path(name).stat().st_size:,} bytes")
    with closing(Server(server, key=key, say=output.say)) as target, _lines(name) as stream:
        target.check()
        batches = sending.batches_of(stream, from_line=from_line)
        return transfer(
            output,
            batches,
            target,
            total=total,
            next_step=lambda line: f"penstock send {name} --from-line {line}",
        )


def transfer(
    output: Output,
    batches: Iterable[Batch],
    target: Target,
    *,
    total: int | None,
    next_step: Callable[[int], str],
    in_flight: int = sending.IN_FLIGHT,
) -> int:
    """The batches were sent and the report printed; the exit code.

    `next_step` is the command that goes on from a line, after Ctrl-C or an error.
    """
    progress = Progress(output, total=total)
    reached = Report()

    def told(report: Report) -> None:
        nonlocal reached
        reached = report
        note = f"  {report.rejected:,} rejected" if report.rejected else ""
        progress.show(report.read, note=note)

    try:
        report = sending.send(batches, target, in_flight=in_flight, told=told)
    except Error as error:
        step = next_step(reached.done_to_line + 1)
        error.fix = f"{error.fix}; then: {step}" if error.fix else step
        raise
    finally:
        progress.end()
    rate = round(progress.rate_per_s(report.read))
    tell(output, msgspec.to_builtins(report) | {"rate_per_s": rate})
    if report.interrupted:
        step = next_step(report.done_to_line + 1)
        output.say(f"stopped after line {report.done_to_line}; what was sent is kept")
        output.say(f"next:  {step}   (sending all of it again is safe)")
        return INTERRUPTED
    return FAILED if report.rejected else OK


def tell(output: Output, shown: dict[str, Any]) -> None:
    """The report: an object for a program, figures and the first refusals for a person."""
    if output.format != "table":
        output.item(shown)
        return
    names = ("read", "accepted", "rejected", "rate_per_s")
    output.item({name: shown[name] for name in names if name in shown})
    for code, count in sorted(shown["by_code"].items(), key=lambda item: -item[1]):
        output.say(f"  {code}: {count:,}")
    for refusal in shown["first_rejected"]:
        place = f"{refusal['field']}: " if refusal["field"] else ""
        output.say(f"  line {refusal['line']}: {place}{refusal['detail']} [{refusal['code']}]")


@contextmanager
def _lines(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(name).open("rb") as stream:
            is_gzip = stream.read(2) == GZIP_MAGIC
            stream.seek(0)
            yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if is_gzip else stream
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name}: {type(error).__name__}: {error}", field="file") from error
