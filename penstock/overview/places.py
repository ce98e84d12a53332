"""What log and database know of an installation; one that is away is an error of its own."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from penstock import installation
from penstock.control import LEASE
from penstock.logs import open_log
from penstock.settings import Settings
from streams import deadletters, outbox, positions, presence, webhooks
from streams.db import leases
from streams.db.engine import connect, reading
from streams.db.leases import Lease
from streams.db.state import state
from streams.errors import Error
from streams.positions import Position
from streams.presence import Duty, Holder, Process
from streams.topics import EVENTS
from streams.webhooks import Webhook

CONSUMER = "intake"

T = TypeVar("T")


class Store(msgspec.Struct, frozen=True):
    """What the database knows."""

    kind: str
    schema: str
    now_ms: int  # wall
    standing: Mapping[int, Position]
    holders: list[Holder]
    counted: int
    rejected: int
    processes: list[Process]
    lease: Lease | None
    unsent: tuple[int, int | None]
    dead: dict[str, int]
    webhooks: list[Webhook]  # those that are live

    @property
    def leader(self) -> str:
        """Which control does the duties now, or an empty string."""
        held = self.lease
        return "" if held is None or held.until_ms <= self.now_ms else held.owner

    @property
    def duties(self) -> list[Duty]:
        """What became of them, as that control tells."""
        return [duty for p in self.processes if p.name == self.leader for duty in p.told.duties]


class Ends(msgspec.Struct, frozen=True):
    """What the log knows."""

    ends: Mapping[int, int]
    now_ms: int


def store(settings: Settings) -> Store:
    """Raises Error when the database is away or has another schema."""
    installation.require_head(settings)
    schema = installation.schema(settings).current or ""
    engine = connect(settings.database, connections=1, name="penstock cli")
    try:
        with reading(engine) as connection:
            here = {"consumer": CONSUMER, "topic": EVENTS.name}
            database = state(connection)
            counted, rejected = positions.counted(connection, **here)
            return Store(
                kind=f"{database.kind} {database.version}",
                schema=schema,
                now_ms=installation.read_clock(settings).wall_ms(),
                standing=positions.standing(connection, **here),
                holders=presence.holders(connection, **here),
                counted=counted,
                rejected=rejected,
                processes=presence.listed(connection),
                lease=leases.holder(connection, LEASE),
                unsent=outbox.waiting(connection),
                dead=deadletters.by_code(connection),
                webhooks=webhooks.live(connection),
            )
    finally:
        engine.dispose()


def log(settings: Settings) -> Ends:
    """Raises Error when the log is away or lacks a topic."""
    opened = open_log(settings, clock=installation.read_clock(settings))
    try:
        installation.require_topics(settings, opened)
        ends = {partition: bounds.end for partition, bounds in opened.bounds(EVENTS.name).items()}
        return Ends(ends, opened.now_ms())
    finally:
        opened.close()


def or_error(look: Callable[[], T]) -> T | Error:
    """What was found, or why nothing was."""
    try:
        return look()
    except Error as error:
        return error
