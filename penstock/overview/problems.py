"""What is not well with an installation, and what to do about it."""

from collections.abc import Mapping

import msgspec

from penstock.overview.places import Store
from penstock.overview.processes import Seen
from penstock.settings import Settings
from streams.errors import Error

COUNTING = ("intake", "worker")
ALIVE = ("works", "waits")
LATE_MS = 600_000  # how far beyond the lateness a watermark may be behind
UNSENT_MS = 60_000
FAILING_MS = 600_000


class Problem(msgspec.Struct, frozen=True):
    """Something that is not well, and what to do about it."""

    problem: str
    next: str


def away(what: str, error: Error) -> Problem:
    """A place cannot be looked at."""
    return Problem(f"{what}: {error.message}", error.fix or error.why)


def of_roles(settings: Settings, store: Store, seen: list[Seen]) -> list[Problem]:
    """Work that nobody does, or that somebody cannot do."""
    on_kafka = bool(settings.kafka_servers)
    problems = [
        Problem(f"{p.role} {p.name} waits: {p.detail}", "see what it waits for; it goes on then")
        for p in seen
        if p.state == "waits"
    ]
    counting = {n for p in seen if p.role in COUNTING and p.state in ALIVE for n in p.partitions}
    if unread := sorted(set(range(settings.partitions)) - counting):
        start = "penstock worker" if on_kafka else "penstock up"
        problems.append(Problem(f"nobody reads partitions {unread}", start))
    if not store.leader:
        start = "penstock control" if on_kafka else "penstock up"
        problems.append(Problem("no control does its duties: nothing is sent or closed", start))
    problems += [
        Problem(f"control fails at {duty.duty}: {duty.fault}", "see the log lines of control")
        for duty in store.duties
        if duty.fault
    ]
    return problems


def of_backlog(
    settings: Settings, store: Store, lag: Mapping[int, int] | None, late_s: float | None
) -> list[Problem]:
    """Work that is done too slowly."""
    problems = []
    if late_s is not None and late_s * 1000 > settings.lateness_ms + LATE_MS and lag is not None:
        waits = f"the watermark is {late_s:,.0f} s behind with {sum(lag.values()):,} records to go"
        problems.append(Problem(waits, "add workers, or see why they are slow"))
    oldest_ms = store.unsent[1]
    if oldest_ms is not None and store.now_ms - oldest_ms > UNSENT_MS:
        age_s = (store.now_ms - oldest_ms) // 1000
        text = f"the oldest of {store.unsent[0]:,} messages has waited for {age_s:,} s"
        problems.append(Problem(text, "see the log lines of control"))
    return problems


def of_webhooks(store: Store) -> list[Problem]:
    """Receivers that take nothing."""
    return [
        Problem(
            f"webhook {each.id} has taken nothing for {(store.now_ms - since_ms) // 1000:,} s:"
            f" {each.failure}",
            f"penstock webhook test {each.id}",
        )
        for each in store.webhooks
        if (since_ms := each.failing_ms) is not None and store.now_ms - since_ms > FAILING_MS
    ]


def of_web(settings: Settings, web: Mapping[str, str] | None, seen: list[Seen]) -> list[Problem]:
    """Events that nobody takes."""
    if web:
        said = "; ".join(web.values())
        return [Problem(f"web takes no events: {said}", "free what it names; it goes on then")]
    elsewhere = any(p.role == "web" and p.state == "works" for p in seen)
    if web is None and not elsewhere:
        start = "penstock web" if settings.kafka_servers else "penstock up"
        return [Problem(f"no web answers at {settings.url} or anywhere else", start)]
    return []
