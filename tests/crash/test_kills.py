"""SIGKILL at random instants: what is counted is what an undisturbed run counts, to the event."""

import time

import pytest

from penstock.installation import opened
from streams.errors import Error
from tests.crash import story
from tests.crash.content import content, differences
from tests.crash.history import history
from tests.crash.killing import Killer
from tests.crash.story import counted_in_peace, declare, sent_under_fire, wait_until_counted


def equal_whatever_was_killed(service, folder, *, seed, days, requests, per_s, kills, gap_s):
    events = history(seed, now_ms=time.time_ns() // 1_000_000, days=days, requests=requests)
    killer = Killer(service, seed=seed, gap_s=gap_s)
    killer.allowed = kills // (days + 1)
    while not _declared(service, events.begin_ms):
        killer.tend()  # the first start is no safer than the others

    told = sent_under_fire(events, service, killer, folder, per_s=per_s, kills=kills)
    service.keep_up()
    wait_until_counted(service)
    code = service.stop()

    print(
        f"\nseed {seed}: {events.size:,} events, {told.tries - told.batches} batches sent again,"
        f" {told.events / told.seconds:,.0f} events/s while sending; killed {dict(killer.kills)},"
        f" {service.starts} starts of up; longest stall {told.longest_stall_s:.1f} s,"
        f" longest drain {told.longest_drain_s:.1f} s"
    )
    with opened(service.settings) as here:
        found = content(here.engine)
    expected = counted_in_peace(events, folder / "peace", service.settings)
    assert code == 0, service.said
    other = differences(found, expected)
    assert not other, "\n".join([f"seed {seed}", *other])
    assert killer.kills.total() >= kills
    assert "Traceback" not in service.said, service.said
    assert all(expected[name] for name in story.MEANT), "the history lacks something"


def _declared(service, at_ms):
    """Whether the installation was ready to have its models declared, and they are now."""
    service.keep_up()
    try:
        with opened(service.settings) as here:
            declare(here.engine, at_ms)
    except Error:
        return False
    return True


@pytest.mark.parametrize(
    "seed", [pytest.param(1, marks=pytest.mark.crash), pytest.param(2, marks=pytest.mark.nightly)]
)
def test_forty_kills_at_random_instants_change_nothing_that_is_counted(service, tmp_path, seed):
    equal_whatever_was_killed(
        service, tmp_path, seed=seed, days=6, requests=10_000, per_s=4_000, kills=40,
        gap_s=(0.1, 1.5),
    )  # fmt: skip


def test_a_few_kills_change_nothing_that_is_counted(service, tmp_path):
    equal_whatever_was_killed(
        service, tmp_path, seed=3, days=2, requests=800, per_s=3_000, kills=3, gap_s=(0.1, 0.6)
    )
