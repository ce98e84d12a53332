"""The two clocks. Only the rim reads them; everything else takes `now_ms` as an argument.

`wall` is for leases, time-outs, sessions and back-off. `domain` is for event time, holds,
deadlines, freezes and horizons:

    domain = origin_domain + speed * (wall - origin_wall)

At speed 1 with equal origins the two agree; the demo and backtests run the domain faster.
"""

import time

import msgspec


class Clock(msgspec.Struct, frozen=True):
    """Where the domain clock started and how fast it runs against the wall's (ms per ms)."""

    origin_wall_ms: int = 0
    origin_domain_ms: int = 0
    speed: float = 1.0

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def domain_ms(self) -> int:
        if self.speed == 1.0 and self.origin_wall_ms == self.origin_domain_ms:
            return self.wall_ms()
        return self.origin_domain_ms + int(self.speed * (self.wall_ms() - self.origin_wall_ms))


def restarted(speed: float, last_tick_ms: int | None) -> Clock:
    """A clock that goes on from the last domain time that was seen, or from the wall's now.

    Kept ticks mean that a stopped demo resumes where it was instead of jumping ahead.
    """
    wall_ms = time.time_ns() // 1_000_000
    if speed == 1.0 and last_tick_ms is None:
        return Clock()
    return Clock(wall_ms, wall_ms if last_tick_ms is None else last_tick_ms, speed)


class Stepped(Clock, frozen=True):
    """Both clocks stand where `moment` was set: a replay moves them as it goes."""

    moment: list[int] = msgspec.field(default_factory=lambda: [0])

    def wall_ms(self) -> int:
        return self.moment[0]

    def domain_ms(self) -> int:
        return self.moment[0]

    def move(self, to_ms: int) -> None:
        self.moment[0] = to_ms
