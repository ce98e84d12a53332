"""When nothing may advance: spans that begin on a cron schedule in a time zone of their own."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from rollout.spec import Freeze
from streams.errors import InputError
from streams.models import duration_ms
from streams.yamls import nearest

_CHAINED = 1_000  # spans that begin within each other: beyond, it is for ever


def frozen_until(freezes: Iterable[Freeze], now_ms: int) -> int | None:
    """When the span around `now_ms` ends, in ms UTC; None when nothing is frozen.

    A span holds its start and not its end. Where several overlap, the last end counts that is
    known now. Raises InputError for a schedule or zone that does not exist.
    """
    ends = [begun_ms(freeze, now_ms) + duration_ms(freeze.length) for freeze in freezes]
    return max((end for end in ends if end > now_ms), default=None)


def begun_ms(freeze: Freeze, now_ms: int) -> int:
    """The latest start that is not after `now_ms`; a schedule that never fires has 0."""
    found = next(_starts_before(freeze, now_ms + 1_000), None)
    return 0 if found is None else int(found.timestamp() * 1000)


def is_endless(freezes: Collection[Freeze], now_ms: int) -> bool:
    """Whether each span from `now_ms` on reaches into another, so that nothing ever advances."""
    at_ms = now_ms
    for _ in range(_CHAINED):
        until_ms = frozen_until(freezes, at_ms)
        if until_ms is None:
            return False
        at_ms = until_ms
    return True


def _starts_before(freeze: Freeze, at_ms: int) -> CronSim:
    try:
        zone = ZoneInfo(freeze.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(
            f"there is no time zone {freeze.zone!r}",
            field="zone",
            fix=nearest(freeze.zone, available_timezones()),
        ) from error
    try:
        return CronSim(freeze.cron, datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone),
                       reverse=True)  # fmt: skip
    except CronSimError as error:
        raise InputError(
            f"{freeze.cron!r} is no schedule: {str(error).lower()}",
            field="cron",
            fix="minute hour day month weekday, for example 0 16 * * FRI",
        ) from error
