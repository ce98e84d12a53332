"""The two clocks: the domain runs at its speed from where it was."""

import time

from hypothesis import given
from hypothesis import strategies as st

from streams.db.clock import Clock, restarted


def test_the_plain_clocks_agree_with_the_machines():
    clock = Clock()

    before_ms = time.time_ns() // 1_000_000
    readings = clock.wall_ms(), clock.domain_ms()
    after_ms = time.time_ns() // 1_000_000

    assert all(before_ms <= reading <= after_ms for reading in readings)


@given(st.integers(0, 2**42), st.sampled_from([0.5, 1.0, 60.0, 3600.0]))
def test_a_restarted_clock_goes_on_from_its_last_tick_at_its_speed(last_tick_ms, speed):
    clock = restarted(speed, last_tick_ms)

    elapsed_ms = clock.wall_ms() - clock.origin_wall_ms
    domain_ms = clock.domain_ms()
    later_ms = clock.wall_ms() - clock.origin_wall_ms

    assert int(speed * elapsed_ms) <= domain_ms - last_tick_ms <= int(speed * later_ms)


def test_a_new_fast_clock_starts_at_the_walls_now():
    clock = restarted(60.0, None)

    assert clock.origin_domain_ms == clock.origin_wall_ms
    assert clock.domain_ms() >= clock.origin_wall_ms


def test_a_new_clock_at_speed_one_is_the_plain_one():
    assert restarted(1.0, None) == Clock()
