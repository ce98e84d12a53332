"""What `penstock import` does: rows of a table to the live store, the log or a scratch store."""

import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec

from penstock import scratch
from penstock.cli.main import FAILED, OK
from penstock.cli.output import Output
from penstock.cli.transfers import tell, transfer
from penstock.direct import Direct
from penstock.importing import Import, read_map
from penstock.installation import opened
from penstock.mapping import Kind
from penstock.sending import Report
from penstock.server import Server
from penstock.settings import Settings, read_settings
from streams.errors import InputError


def import_table(
    output: Output,
    kind: Kind,
    *,
    file: Path,
    map_file: Path,
    server: str,
    key: str | None,
    dry_run: bool,
    store: str,
) -> int:
    """The rows of a table were sent where `store` says, or only tried; the exit code."""
    settings, scratch_dir = read_settings(os.environ), _scratch_dir(store)
    source = Import(
        file,
        read_map(map_file),
        kind,
        lateness_ms=settings.lateness_ms,
        refuse_before_ms=None if scratch_dir else _wall_ms() - settings.lateness_ms,
    )
    total = source.rows()
    output.say(f"{file}: {total:,} rows, {file.stat().st_size:,} bytes")
    again = f"penstock import {kind} {file} --map {map_file} --store {store}"
    if dry_run:
        return _tried(output, source)
    if scratch_dir is not None:
        settings = replace(settings, data_dir=scratch_dir, database_url="", speed=1.0)
        return _into_scratch(output, source, settings, total=total, again=again)
    if store == "direct":
        return _into_log(output, source, settings, total=total, again=again)
    with closing(Server(server, key=key, say=output.say)) as live:
        live.check()
        return transfer(output, source.batches(), live, total=total, next_step=lambda _: again)


def _into_log(output: Output, source: Import, settings: Settings, *, total: int, again: str) -> int:
    with opened(settings) as here:
        return transfer(
            output,
            source.batches(),
            Direct(here.log),
            total=total,
            next_step=lambda _: again,
            in_flight=1,
        )


def _into_scratch(
    output: Output, source: Import, settings: Settings, *, total: int, again: str
) -> int:
    with scratch.opened(settings) as here:
        code = transfer(
            output,
            source.batches(),
            scratch.Scratch(here.log, lambda: source.newest_ms),
            total=total,
            next_step=lambda _: again,
            in_flight=1,  # in the order of the file: its times move the watermark
        )
        counted = scratch.count(here, newest_ms=source.newest_ms)
    output.say(f"{counted:,} events counted in {settings.data_dir}; {source.late:,} were late")
    output.say(f"look at them: PENSTOCK_DATA_DIR={settings.data_dir} penstock up")
    return code


def _tried(output: Output, source: Import) -> int:
    """What an import would do, without sending anything."""
    report = Report()
    for batch in source.batches():
        report.add(batch, [])
    for event in source.preview if output.format == "table" else ():
        output.say(msgspec.json.encode(event).decode())
    tell(output, msgspec.to_builtins(report) | {"preview": source.preview})
    output.say("a dry run: nothing was sent")
    return FAILED if report.rejected else OK


def _scratch_dir(store: str) -> Path | None:
    name, _, folder = store.partition(":")
    if name == "scratch" and folder:
        return Path(folder)
    if store not in ("live", "direct"):
        raise InputError(
            f"--store {store!r} is not known", field="store", fix="live, direct or scratch:FOLDER"
        )
    return None


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
