"""The times in which nothing advances."""

from datetime import UTC, datetime

import pytest

from rollout.freezes import frozen_until, is_endless
from rollout.spec import Freeze
from streams.errors import InputError

WEEKEND = Freeze(cron="0 16 * * FRI", zone="Europe/Berlin", length="64h")


def ms(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (ms(2026, 11, 20, 14, 59, 59), None),  # a second before Friday 16:00 in Berlin
        (ms(2026, 11, 20, 15), ms(2026, 11, 23, 7)),
        (ms(2026, 11, 23, 6, 59, 59), ms(2026, 11, 23, 7)),
        (ms(2026, 11, 23, 7), None),  # the end is free
        (ms(2026, 7, 3, 14), ms(2026, 7, 6, 6)),  # in summer an hour earlier by UTC
        (ms(2026, 3, 27, 15), ms(2026, 3, 30, 7)),  # 64 hours are 64 hours when clocks change
    ],
)
def test_a_span_begins_by_the_clock_of_its_zone_and_lasts_its_hours(now, until):
    assert frozen_until([WEEKEND], now) == until


def test_of_overlapping_spans_the_last_end_counts():
    daily = Freeze(cron="0 12 * * *", length="30m")

    assert frozen_until([daily, WEEKEND], ms(2026, 11, 21, 12, 10)) == ms(2026, 11, 23, 7)
    assert frozen_until([], ms(2026, 11, 21)) is None


def test_spans_that_reach_into_each_other_are_endless():
    now = ms(2026, 1, 1)

    assert is_endless([Freeze(cron="0 0 * * *", length="1d")], now)
    assert not is_endless([Freeze(cron="0 0 * * *", length="23h")], now)
    assert not is_endless([WEEKEND], now)


def test_spans_that_fill_each_others_gaps_are_endless():
    now = ms(2026, 1, 1)
    days, nights = Freeze(cron="0 6 * * *", length="12h"), Freeze(cron="0 18 * * *", length="12h")

    assert is_endless([days, nights], now)
    assert not is_endless([days], now)
    assert not is_endless([days, WEEKEND], now)


@pytest.mark.parametrize(
    ("freeze", "field", "fix"),
    [
        (Freeze(cron="0 25 * * *", length="1h"), "cron", "16"),
        (Freeze(cron="0 0 30 2 *", length="1h"), "cron", "16"),
        (Freeze(cron="0 5 * * *", zone="Europe/Berln", length="1h"), "zone", "Europe/Berlin"),
        (Freeze(cron="0 5 * * *", zone="../etc", length="1h"), "zone", "known: Africa/Abidjan"),
    ],
)
def test_a_schedule_or_zone_that_does_not_exist_is_an_error(freeze, field, fix):
    with pytest.raises(InputError) as caught:
        frozen_until([freeze], ms(2026, 1, 1))

    assert caught.value.field == field
    assert fix in caught.value.fix
