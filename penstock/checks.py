"""What `penstock doctor` looks at: each check says how it is, what it saw, and what to do."""

import os
import platform
import shutil
import socket
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

from penstock import installation, installed, lock, tailing
from penstock.settings import Settings, read_settings
from streams.errors import Error
from streams.topics import EVENTS

MIN_SQLITE = (3, 38)
LOW_DISK_BYTES = 2 << 30
SKEW_S = 5.0
TIMEOUT_S = 2.0

State = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """What one check found; `next` is empty when there is nothing to do."""

    check: str
    state: State
    detail: str
    next: str = ""


def run(environ: Mapping[str, str]) -> list[Finding]:
    """Every check's finding; without readable settings, only what needs none."""
    findings = [_python(), _sqlite(), _extras()]
    try:
        settings = read_settings(environ)
    except Error as error:
        return [*findings, Finding("settings", "fail", error.message, error.fix)]
    findings.append(Finding("settings", "ok", f"data in {settings.data_dir.absolute()}"))
    for name, check in CHECKS.items():
        try:
            findings.append(check(name, settings))
        except Error as error:
            findings.append(Finding(name, "fail", error.message, error.fix))
    return findings


def _python() -> Finding:
    return Finding("python", "ok", platform.python_version())


def _sqlite() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        return Finding("sqlite", "fail", version, "a Python with SQLite 3.38 or newer is needed")
    return Finding("sqlite", "ok", version)


def _extras() -> Finding:
    return Finding("extras", "ok", ", ".join(installed.extras()) or "none")


def _folder(name: str, settings: Settings) -> Finding:
    folder = settings.data_dir
    if not folder.exists():
        return Finding(name, "warn", f"{folder} does not exist yet", "penstock up makes it")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(name, "fail", f"{folder} is not writable", f"chown or chmod {folder}")
    holder = lock.holder(folder)
    return Finding(name, "ok", "writable, " + (f"in use by {holder}" if holder else "not in use"))


def _disk(name: str, settings: Settings) -> Finding:
    folder = settings.data_dir if settings.data_dir.exists() else settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free >> 20:,} MiB free"
    if free < settings.disk_reserve_bytes:
        return Finding(name, "fail", f"{detail}: ingest refuses events", "free disk space")
    state: State = "warn" if free < settings.disk_reserve_bytes + LOW_DISK_BYTES else "ok"
    return Finding(name, state, detail, "free disk space soon" if state == "warn" else "")


def _port(name: str, settings: Settings) -> Finding:
    holder = lock.holder(settings.data_dir)
    place = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host.strip("[]"), settings.port), family=family).close()
    except OSError as error:
        if holder is not None and _date(settings) is not None:
            return Finding(name, "ok", f"{place} is served by this installation")
        return Finding(
            name, "fail", f"{place}: {error.strerror}", "set PENSTOCK_PORT to a free one"
        )
    if holder is not None:
        return Finding(name, "warn", f"{place} is free though `up` runs", "see what `up` says")
    return Finding(name, "ok", f"{place} is free")


def _skew(name: str, settings: Settings) -> Finding:
    date = _date(settings)
    if date is None:
        return Finding(name, "ok", "no server is up to compare with")
    skew_s = abs(time.time() - parsedate_to_datetime(date).timestamp())
    detail = f"{skew_s:.0f} s from the server's"
    if skew_s > SKEW_S:
        return Finding(name, "warn", detail, "let the machine's clock be set by NTP")
    return Finding(name, "ok", detail)


def _database(name: str, settings: Settings) -> Finding:
    status = installation.schema(settings)
    if status.pending:
        detail = f"schema {status.current or 'none'}, this release needs {status.head}"
        return Finding(name, "fail", detail, "penstock db upgrade")
    return Finding(name, "ok", f"reachable, schema {status.current}")


def _log(name: str, settings: Settings) -> Finding:
    with installation.opened(settings) as here:
        state = here.log.state(EVENTS.name)
        held = sum(b.end - b.begin for b in here.log.bounds(EVENTS.name).values())
    return Finding(name, "ok", f"{held:,} records in {state.partitions} partitions")


def _last_event(name: str, settings: Settings) -> Finding:
    with installation.opened(settings) as here:
        found = tailing.recent(here.log, count=1)
        now_ms = here.now_ms()
    if not found:
        return Finding(name, "warn", "none yet", "penstock up shows how to send the first")
    age_s = max(0, now_ms - found[0].appended_ms) // 1000
    return Finding(name, "ok", f"{age_s:,} s ago, {found[0].type} of {found[0].model}")


def _date(settings: Settings) -> str | None:
    """The Date header of the server at the settings' address, if one answers."""
    try:
        with urllib.request.urlopen(f"{settings.url}/healthz", timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own http
            date: str | None = answer.headers.get("Date")
            return date
    except (OSError, ValueError):
        return None


CHECKS: Mapping[str, Callable[[str, Settings], Finding]] = {
    "data folder": _folder,
    "disk": _disk,
    "address": _port,
    "clock": _skew,
    "database": _database,
    "log": _log,
    "last event": _last_event,
}
