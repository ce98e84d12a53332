"""Epochs as plans: committed before any event can need them."""

from sqlalchemy import Connection

from rollout.assignment import CHAMPION
from rollout.cells import PLAN, Body, Closed, Opened, encoded
from streams import codes, plans


def open_epoch(connection: Connection, opened: Opened, *, now_ms: int, by: str) -> None:
    """What is frozen is there before any event can need it, once this transaction commits.

    Which route versions belong to the epoch is said by plans of their own. Its names have their
    numbers with it, so that whoever reads the plan can look for them.
    """
    model_no = codes.resolve(connection, "model", 0, [opened.model])[opened.model]
    versions = [opened.champion, *(one.version for one in opened.challengers)]
    codes.resolve(connection, "route", 0, [opened.route])
    codes.resolve(connection, "version", model_no, versions)
    codes.resolve(connection, "arm", 0, [CHAMPION, *(one.arm for one in opened.challengers)])
    _append(connection, opened, from_ms=opened.opens_ms, now_ms=now_ms, by=by)


def close_epoch(connection: Connection, closed: Closed, *, now_ms: int, by: str) -> None:
    """Requests from `closes_ms` on are stale once this transaction commits."""
    _append(connection, closed, from_ms=closed.closes_ms, now_ms=now_ms, by=by)


def _append(connection: Connection, body: Body, *, from_ms: int, now_ms: int, by: str) -> None:
    plans.append(
        connection, kind=PLAN, id=body.rollout, body=encoded(body), from_ms=from_ms,
        now_ms=now_ms, by=by,
    )  # fmt: skip
