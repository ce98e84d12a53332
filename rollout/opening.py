"""Epochs as plans: committed before any event can need them."""

from functools import partial

from sqlalchemy import Connection

from rollout.assignment import CHAMPION
from rollout.cells import PLAN, Body, Closed, Opened, Salts, encoded
from rollout.consequences import Change, Freezing
from rollout.epochs import Start, opened
from rollout.recorded import figures
from streams import codes, plans, registry

LEAD_MS = 5_000
"""Of wall time. Workers read plans once a second: what holds from then on is known to all."""

GRACE_MS = 60_000
"""Of wall time. Services learn of a new route table within it; until then the old epoch takes
their answers."""


def freezing(speed: float) -> Freezing:
    """`freeze` where the domain clock runs so many times as fast as workers and services do."""
    return partial(freeze, speed=speed)


def freeze(connection: Connection, change: Change, *, speed: float = 1.0) -> None:
    """The evidence of a rollout whose traffic changes: which epoch ends, which begins and how.

    Nothing is refused that goes back to the champion. Raises InputError, naming the metric, where
    a new epoch would need what is not known, or its units cannot be counted.
    """
    if change.ended:
        closed = Closed(
            rollout=change.rollout, epoch=change.ended,
            closes_ms=change.at_ms + int(speed * GRACE_MS), moves_ms=change.at_ms,
        )  # fmt: skip
        close_epoch(connection, closed, now_ms=change.at_ms)
    if change.is_new:
        traffic, salt = change.traffic, change.salt
        start = Start(
            rollout=change.rollout,
            epoch=change.epoch,
            opens_ms=change.at_ms + int(speed * LEAD_MS),
            salts=Salts(
                assignment=salt,
                audit=f"{salt}/audit",
                rounding=f"{salt}/rounding",
                self_check=f"{salt}/self-check",
            ),
            shares=traffic.shares,
            scope=traffic.scope,
            confirm_ms=traffic.confirm_ms,
            given=change.given,
        )
        declaration, _ = registry.show(connection, change.spec.model)
        seen = figures(connection, change.spec, now_ms=change.at_ms)
        body = opened(change.spec, declaration, start, seen)
        open_epoch(connection, body, now_ms=change.at_ms)


def open_epoch(connection: Connection, opened: Opened, *, now_ms: int) -> None:
    """What is frozen is there before any event can need it, once this transaction commits.

    Which route versions belong to the epoch is said by plans of their own. Its names have their
    numbers with it, so that whoever reads the plan can look for them.
    """
    model_no = codes.resolve(connection, "model", 0, [opened.model])[opened.model]
    versions = [opened.champion, *(one.version for one in opened.challengers)]
    codes.resolve(connection, "route", 0, [opened.route])
    feedback = [metric.name for metric in opened.metrics if metric.source == "feedback"]
    codes.resolve(connection, "feedback", 0, feedback)
    codes.resolve(connection, "version", model_no, versions)
    codes.resolve(connection, "arm", 0, [CHAMPION, *(one.arm for one in opened.challengers)])
    _append(connection, opened, from_ms=opened.opens_ms, now_ms=now_ms)


def close_epoch(connection: Connection, closed: Closed, *, now_ms: int) -> None:
    """Requests from `closes_ms` on are stale once this transaction commits."""
    _append(connection, closed, from_ms=closed.closes_ms, now_ms=now_ms)


def _append(connection: Connection, body: Body, *, from_ms: int, now_ms: int) -> None:
    plans.append(
        connection, kind=PLAN, id=body.rollout, body=encoded(body), from_ms=from_ms,
        now_ms=now_ms, by="rollout",
    )  # fmt: skip
