"""What `penstock status` tells: every role of an installation, its log, its database, its backlog.

Each place is asked for itself, so that one that is away hides nothing but its own.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from penstock import installation, status
from penstock.overview import places, problems
from penstock.overview.places import Ends, Store
from penstock.overview.problems import Problem
from penstock.overview.processes import Seen, processes
from penstock.settings import Settings
from streams import positions
from streams.errors import Error
from streams.positions import NO_WATERMARK
from streams.presence import Duty


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """An installation at a glance; a field is None where its place is away."""

    state: str  # well or not well
    log: str
    database: str
    web: str
    counted: int | None = None  # events, ever
    rejected: int | None = None  # dead letters, ever
    lag_records: int | None = None
    watermark_lag_s: float | None = None  # of the partition that is furthest behind
    outbox_messages: int | None = None
    outbox_oldest_ms: int | None = None
    dead_letters: dict[str, int] | None = None  # that are kept, by code
    lease: str | None = None  # which control does the duties
    processes: list[Seen] = []
    duties: list[Duty] = []
    problems: list[Problem] = []


def look(settings: Settings) -> Overview:
    """How the installation stands now. Raises ConfigError where there is none."""
    installation.require_log(settings)
    with ThreadPoolExecutor(3) as threads:
        store = threads.submit(places.or_error, lambda: places.store(settings))
        log = threads.submit(places.or_error, lambda: places.log(settings))
        web = threads.submit(status.faults, settings)
        return told(settings, store.result(), log.result(), web.result())


def told(
    settings: Settings, store: Store | Error, log: Ends | Error, web: Mapping[str, str] | None
) -> Overview:
    """What was found, put together and judged."""
    known = store if isinstance(store, Store) else None
    ends = log.ends if isinstance(log, Ends) else None
    lag = None if known is None or ends is None else positions.behind(ends, known.standing)
    seen = [] if known is None else processes(known, lag)
    late_s = None if known is None or not isinstance(log, Ends) else _late_s(known, log)
    found = [
        *([problems.away("the log", log)] if isinstance(log, Error) else []),
        *([problems.away("the database", store)] if isinstance(store, Error) else []),
        *(problems.of_roles(settings, known, seen) if known else []),
        *(problems.of_backlog(settings, known, lag, late_s) if known else []),
        *(problems.of_webhooks(known) if known else []),
        *problems.of_web(settings, web, seen),
    ]
    overview = Overview(
        state="not well" if found else "well",
        log=_place(log, settings.kafka_servers or str(settings.log_path)),
        database=_place(store, "" if known is None else f"{known.kind}, schema {known.schema}"),
        web=_web_state(settings, web),
        lag_records=None if lag is None else sum(lag.values()),
        watermark_lag_s=late_s,
        processes=seen,
        problems=found,
    )
    if known is None:
        return overview
    return msgspec.structs.replace(
        overview,
        counted=known.counted,
        rejected=known.rejected,
        outbox_messages=known.unsent[0],
        outbox_oldest_ms=known.unsent[1],
        dead_letters=known.dead,
        lease=known.leader,
        duties=known.duties,
    )


def _late_s(store: Store, log: Ends) -> float | None:
    marks = [p.watermark_ms for p in store.standing.values() if p.watermark_ms != NO_WATERMARK]
    return round((log.now_ms - min(marks)) / 1000, 1) if marks else None


def _place(found: object, name: str) -> str:
    return found.message if isinstance(found, Error) else name


def _web_state(settings: Settings, web: Mapping[str, str] | None) -> str:
    if web is None:
        return f"{settings.url} does not answer"
    return settings.url if not web else f"{settings.url}: {'; '.join(web.values())}"
