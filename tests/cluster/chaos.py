"""A fleet that is sent a history while everything befalls it, and what it comes to."""

import time
from pathlib import Path

import msgspec

from deploy.kafka_local import Cluster
from penstock.installation import opened
from streams.db.engine import reading, writing
from tests.cluster import faults
from tests.cluster.fleet import Fleet
from tests.cluster.resending import Resender
from tests.cluster.stalls import Stalls
from tests.cluster.weather import Weather
from tests.cluster.wire import Wire
from tests.contracts import postgres
from tests.crash.content import Content, content
from tests.crash.history import history
from tests.crash.killing import Killer
from tests.crash.story import (
    Told,
    counted_in_peace,
    declare,
    sent_under_fire,
    wait_until_counted,
)

FAULTS = 0.03  # of the transactions that move a position
LOST_ANSWERS = 0.01  # of all commits
SENT_AGAIN = 0.01  # of the envelopes, and of the events one by one


class Plan(msgspec.Struct, frozen=True):
    """What is sent, and what befalls whom."""

    seed: int
    days: int
    requests: int  # a day; about twice as many events
    per_s: float  # events
    kills: int  # of processes
    gap_s: tuple[float, float]  # between two of them
    strikes: tuple[str, ...]  # as in `Weather`
    strike_gap_s: tuple[float, float]


class Outcome(msgspec.Struct, frozen=True):
    """What happened, and what was counted beside what an undisturbed run counts."""

    events: int
    seconds: float
    killed: dict[str, int]
    struck: dict[str, int]
    faults: int
    lost_answers: int
    envelopes_again: int
    events_astray: int
    starts: int
    sending: Told
    longest_stall_s: float  # of a partition with something unread
    code: int  # the worst exit code after SIGTERM
    said: str
    found: Content
    expected: Content

    def __str__(self) -> str:
        return (
            f"{self.events:,} events in {self.seconds:.0f} s; killed {self.killed}, {self.struck},"
            f" {self.faults} faults, {self.lost_answers} answers to COMMIT lost; sent again"
            f" {self.sending.tries - self.sending.batches} batches, {self.envelopes_again}"
            f" envelopes and {self.events_astray} events astray; {self.starts} starts; longest"
            f" stall {self.longest_stall_s:.1f} s of a partition,"
            f" {self.sending.longest_stall_s:.1f} s of a sender"
        )


def chaos(
    plan: Plan,
    fleet: Fleet,
    wire: Wire,
    brokers: Cluster,
    database: postgres.Server,
    folder: Path,
) -> Outcome:
    """The history was sent and counted, whatever befell the fleet; the fleet has ended."""
    events = history(
        plan.seed, now_ms=time.time_ns() // 1_000_000, days=plan.days, requests=plan.requests
    )
    killer = Killer(fleet, seed=plan.seed, gap_s=plan.gap_s)
    killer.allowed = plan.kills // (plan.days + 1)
    with opened(fleet.settings) as here:
        declare(here.engine, events.begin_ms)
        with writing(here.engine) as connection:
            faults.inject(connection, share=FAULTS)
    stalls = Stalls(fleet.settings)
    resender = Resender(fleet.settings, share=SENT_AGAIN, seed=plan.seed)
    weather = Weather(
        fleet, brokers, database,
        strikes=plan.strikes, gap_s=plan.strike_gap_s, seed=plan.seed,
    )  # fmt: skip
    begun = time.monotonic()
    for beside in (stalls, resender, weather):
        beside.start()

    told = sent_under_fire(events, fleet, killer, folder, per_s=plan.per_s, kills=plan.kills)
    # Before partitions are idle for so long that their watermarks follow the clock: in an
    # undisturbed run they never are.
    weather.end()
    resender.end()
    fleet.keep_up()
    wait_until_counted(fleet)
    seconds = time.monotonic() - begun
    longest_stall_s = stalls.end()
    code = fleet.stop()

    with opened(fleet.settings) as here:
        found = content(here.engine)
        with reading(here.engine) as connection:
            failed = faults.drawn(connection)
    return Outcome(
        events.size, seconds, dict(killer.kills), dict(weather.came), failed, wire.lost,
        resender.envelopes, resender.events, fleet.starts, told, longest_stall_s, code, fleet.said,
        found, counted_in_peace(events, folder / "peace", fleet.settings),
    )  # fmt: skip
