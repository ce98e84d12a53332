"""Route tables for the tests of web, published as a rollout would."""

import time

from sqlalchemy import Engine

from rollout.assignment import Challenger, RouteTable
from rollout.routes import VALID_MS, publish, upcoming
from streams.db.engine import writing


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def published(
    engine: Engine,
    *shares: float,
    model: str = "mailguard",
    route: str = "default",
    confirm: bool = False,
    valid_ms: int = VALID_MS,
    **given: object,
) -> RouteTable:
    """The next table of the route, with challengers 42, 43, ... beside champion 41."""
    challengers = [
        Challenger(version=str(42 + k), share=share, confirm=confirm)
        for k, share in enumerate(shares)
    ]
    with writing(engine) as connection:
        table = upcoming(connection, model, route).table(
            salt="r-1", champion="41", challengers=challengers,
            expires_at=now_ms() + valid_ms, **given,  # type: ignore[arg-type]
        )  # fmt: skip
        publish(connection, table)
    return table
