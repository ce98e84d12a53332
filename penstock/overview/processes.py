"""Who takes part in an installation, and how far each is."""

from collections.abc import Mapping

import msgspec

from penstock.ops.presence import FRESH_MS
from penstock.overview.places import Store
from streams.presence import Holder, Process

STEP_MS = 35_000  # a partition that somebody reads makes a step more often, also at rest


class Seen(msgspec.Struct, frozen=True):
    """A process; a worker of a release that keeps no row is known by its partitions alone."""

    role: str
    name: str
    state: str  # works, stands by, waits, ended or gone
    partitions: list[int]
    held: int  # how many partitions that is
    lag_records: int | None
    last_step_ms: int | None
    seen_ms: int | None
    release: str
    detail: str


def processes(store: Store, lag: Mapping[int, int] | None) -> list[Seen]:
    """Every process that keeps a row, and every owner of partitions that keeps none."""
    held: dict[str, list[Holder]] = {}
    for holder in store.holders:
        held.setdefault(holder.owner, []).append(holder)
    known = [(process, held.pop(process.name, [])) for process in store.processes]
    return [
        *(_process(p, its, store, lag) for p, its in known if its or not p.told.ended),
        # Owners without a row: of a release before, or long gone.
        *(_owner(name, its, store.now_ms, lag) for name, its in held.items()),
    ]


def _process(
    process: Process, held: list[Holder], store: Store, lag: Mapping[int, int] | None
) -> Seen:
    told = process.told
    if told.ended:
        state = "ended"
    elif store.now_ms - process.seen_ms > FRESH_MS:
        state = "gone"
    elif told.fault:
        state = "waits"
    elif process.role == "control" and process.name != store.leader:
        state = "stands by"
    else:
        state = "works"
    return _seen(
        process.role, process.name, state, held, lag, seen_ms=process.seen_ms,
        release=process.release, detail=told.fault or told.url,
    )  # fmt: skip


def _owner(name: str, held: list[Holder], now_ms: int, lag: Mapping[int, int] | None) -> Seen:
    step_ms = max(holder.updated_ms for holder in held)
    state = "gone" if now_ms - step_ms > STEP_MS else "works"
    return _seen("worker", name, state, held, lag, seen_ms=None, release="", detail="")


def _seen(
    role: str, name: str, state: str, held: list[Holder], lag: Mapping[int, int] | None,
    *, seen_ms: int | None, release: str, detail: str,
) -> Seen:  # fmt: skip
    partitions = [holder.partition for holder in held]
    return Seen(
        role=role,
        name=name,
        state=state,
        partitions=partitions,
        held=len(partitions),
        lag_records=None if lag is None else sum(lag.get(p, 0) for p in partitions),
        last_step_ms=max((holder.updated_ms for holder in held), default=None),
        seen_ms=seen_ms,
        release=release,
        detail=detail,
    )
